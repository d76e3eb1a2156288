// Drawing categories with replacement.
#include "philox.cuh"

// y[row, k] = the first category whose cumulative weight exceeds u * total (inverse of the distribution function),
// by bisection. Reads log2(categories) sums a draw.
struct MultinomialParams {
    const T* sums;  // [rows, categories], cumulative
    int64* y;       // [rows, draws]
    uint64 seed, block;
    int64 total, draws, categories;
};
KERNEL(multinomial)(MultinomialParams p) {
    for (int64 e = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.total;
         e += static_cast<int64>(gridDim.x) * blockDim.x) {
        const T* sums = p.sums + e / p.draws * p.categories;
        const PhiloxWords words = philox(p.seed, p.block + e / 2);
        const double u = uniform64(e & 1 ? word64(words, 1) : word64(words, 0));
        const double target = u * static_cast<double>(sums[p.categories - 1]);
        int64 low = 0, high = p.categories - 1;
        while (low < high) {
            const int64 middle = (low + high) >> 1;
            if (static_cast<double>(sums[middle]) > target) high = middle; else low = middle + 1;
        }
        p.y[e] = low;
    }
}
