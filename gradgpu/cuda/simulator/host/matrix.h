// Tensor-core steps on the host: each lane shows its fragments to the warp, and computes what it will hold.
#pragma once

SIM_INLINE float sim_half_bits(uint16_t bits, const __half*) { return sim_from_half(bits); }
SIM_INLINE float sim_half_bits(uint16_t bits, const __nv_bfloat16*) { return sim_from_bfloat16(bits); }

struct SimFragments { unsigned a[4], b[2]; };

// mma.sync.m16n8k16.row.col with float sums (PTX ISA, "Matrix Fragments for mma.m16n8k16"). Products are summed
// in double and rounded once; a device sums in an order of its own.
template <class E>
static void sim_mma_m16n8k16(float& d0, float& d1, float& d2, float& d3, const unsigned (&a)[4], const unsigned (&b)[2], SIM_LINE) {
    const SimFragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const uint64_t* lanes = sim_exchange(0xffffffffu, uint64_t(&mine), SIM_MATRIX, line);
    const unsigned group = sim_lane() / 4, pair = sim_lane() % 4;
    float* const d[4] = {&d0, &d1, &d2, &d3};
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned lower = i / 2, column = 2 * pair + i % 2;  // rows group (upper) and group + 8 (lower)
        double sum = *d[i];
        for (unsigned k = 0; k < 16; ++k) {
            const unsigned lane_k = k % 8 / 2, second = k / 8, shift = 16 * (k % 2);
            const SimFragments* of_a = reinterpret_cast<const SimFragments*>(lanes[group * 4 + lane_k]);
            const SimFragments* of_b = reinterpret_cast<const SimFragments*>(lanes[column * 4 + lane_k]);
            const float x = sim_half_bits(uint16_t(of_a->a[2 * second + lower] >> shift), (const E*)0);
            const float y = sim_half_bits(uint16_t(of_b->b[second] >> shift), (const E*)0);
            sum += double(x) * double(y);
        }
        *d[i] = float(sum);
    }
    sim_exchange(0xffffffffu, 0, SIM_SYNCWARP, line);  // the others may still read `mine`
}
