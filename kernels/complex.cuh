// Complex numbers: two parts side by side, as numpy and PyTorch keep them in memory.
#pragma once

template <class R> struct __align__(2 * sizeof(R)) Complex {
    typedef R Real;
    R re, im;
    Complex() = default;
    __device__ __forceinline__ Complex(R real, R imag = R(0)) : re(real), im(imag) {}
    template <class Q> __device__ __forceinline__ explicit Complex(const Complex<Q>& z) : re(static_cast<R>(z.re)), im(static_cast<R>(z.im)) {}
};
typedef Complex<float> c64;
typedef Complex<double> c128;

template <class R> __device__ __forceinline__ Complex<R> operator+(Complex<R> a, Complex<R> b) { return Complex<R>(a.re + b.re, a.im + b.im); }
template <class R> __device__ __forceinline__ Complex<R> operator-(Complex<R> a, Complex<R> b) { return Complex<R>(a.re - b.re, a.im - b.im); }
template <class R> __device__ __forceinline__ Complex<R> operator-(Complex<R> a) { return Complex<R>(-a.re, -a.im); }
template <class R> __device__ __forceinline__ Complex<R> operator*(Complex<R> a, Complex<R> b) {
    return Complex<R>(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
}
template <class R> __device__ __forceinline__ Complex<R> scaled(Complex<R> a, R s) { return Complex<R>(a.re * s, a.im * s); }
template <class R> __device__ __forceinline__ Complex<R> conjugate(Complex<R> a) { return Complex<R>(a.re, -a.im); }
template <class R> __device__ __forceinline__ bool operator!=(Complex<R> a, Complex<R> b) { return a.re != b.re || a.im != b.im; }

// Smith, "Algorithm 116: Complex division", CACM 5 (1962): no overflow where the quotient has none.
template <class R> __device__ __forceinline__ Complex<R> operator/(Complex<R> a, Complex<R> b) {
    const bool tall = fabs(b.re) < fabs(b.im);
    const R big = tall ? b.im : b.re, small = tall ? b.re : b.im;
    const R ratio = small == R(0) ? R(0) : small / big, d = big + small * ratio;
    const R x = tall ? a.im : a.re, y = tall ? a.re : a.im;
    return Complex<R>((x + y * ratio) / d, (tall ? x * ratio - y : y - x * ratio) / d);
}

template <class R> __device__ __forceinline__ R modulus(Complex<R> a) { return hypot(a.re, a.im); }
// z / |z|, and 0 of 0.
template <class R> __device__ __forceinline__ Complex<R> direction(Complex<R> a) {
    const R r = modulus(a);
    return r == R(0) ? Complex<R>(R(0)) : Complex<R>(a.re / r, a.im / r);
}
template <class R> __device__ __forceinline__ Complex<R> exponential(Complex<R> a) {
    const R r = exp(a.re);
    return a.im == R(0) ? Complex<R>(r, a.im) : Complex<R>(r * cos(a.im), r * sin(a.im));
}
// The root with a real part that is not negative; Kahan, "Branch cuts for complex elementary functions" (1987).
template <class R> __device__ __forceinline__ Complex<R> square_root(Complex<R> a) {
    const R r = modulus(a);
    if (r == R(0)) return Complex<R>(R(0), a.im);
    const R t = sqrt(R(0.5) * (r + fabs(a.re))), u = a.im / (R(2) * t);
    return a.re >= R(0) ? Complex<R>(t, u) : Complex<R>(fabs(u), copysign(t, a.im));
}
