// Elementary functions of vectors, accurate to a few units in the last place of f32, right at infinities and NaN.
// Not a numerical library: only what kernels use.
#pragma once

#include <math.h>

#include "simd.h"

namespace athanor::ATHANOR_ISA {

/** c[0] + x*(c[1] + x*(c[2] + ...)), by Horner. */
template <int n>
ATHANOR_INLINE V polynomial(V x, const float (&c)[n]) {
  V p = set(c[n - 1]);
  for (int i = n - 2; i >= 0; --i) p = fma(p, x, set(c[i]));
  return p;
}

/** Calls `f(float) -> float` for each lane: for the rare arguments that deserve no vector code. */
template <class F>
ATHANOR_INLINE V forLanes(V a, const F& f) {
  float lanes[LANES];
  store(lanes, a);
  for (int i = 0; i < LANES; ++i) lanes[i] = f(lanes[i]);
  return load(lanes);
}
template <class F>
ATHANOR_INLINE V forLanes(V a, V b, const F& f) {
  float lanesA[LANES], lanesB[LANES];
  store(lanesA, a);
  store(lanesB, b);
  for (int i = 0; i < LANES; ++i) lanesA[i] = f(lanesA[i], lanesB[i]);
  return load(lanesA);
}

/** x = n ln 2 + r with |r| <= ln 2 / 2: returns r, and n as a float. The first part of ln 2 has 9 bits: n times it is exact. */
ATHANOR_INLINE V reduceByLn2(V x, V* n) {
  *n = round(x * set(1.44269504088896341f));
  return fnma(*n, set(-2.12194440e-4f), fnma(*n, set(0.693359375f), x));
}

/** (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2. Cephes, expf. */
ATHANOR_INLINE V expTail(V r) {
  constexpr float c[] = {5.0000001201e-1f, 1.6666665459e-1f, 4.1665795894e-2f,
                         8.3334519073e-3f, 1.3981999507e-3f, 1.9875691500e-4f};
  return polynomial(r, c);
}

ATHANOR_INLINE V exp(V x) {
  x = min(set(89.0f), max(set(-104.0f), x));  // beyond lie 0 and infinity; NaN, as second operand, stays
  V n;
  V r = reduceByLn2(x, &n);
  V y = fma(r * r, expTail(r), r) + set(1.0f);
  return scaleByPowerOf2(y, n);
}

/** e^x - 1 without cancellation: 2^n (e^r - 1) + (2^n - 1), halved so that 2^128 does not overflow. */
ATHANOR_INLINE V expm1(V x) {
  x = min(set(89.0f), max(set(-18.0f), x));  // below lies -1
  V n;
  V r = reduceByLn2(x, &n);
  V small = fma(r * r, expTail(r), r);
  V half = scaleByPowerOf2(set(1.0f), n - set(1.0f));
  V y = fma(half, small, half - set(0.5f));
  return select(n == zero(), small, y + y);
}

/** x > 0 as m * 2^e with m in [sqrt(1/2), sqrt(2)). The exponent is taken after subtracting the bits of sqrt(1/2). */
ATHANOR_INLINE V splitPowerOf2(V x, V* exponent) {
  M subnormal = x < set(1.17549435e-38f);
  VI shifted = asInt(select(subnormal, x * set(8388608.0f), x)) - setInt(0x3f3504f3);  // 2^23
  *exponent = toFloat(shiftRightSigned<23>(shifted)) - select(subnormal, set(23.0f), zero());
  return asFloat((shifted & setInt(0x007fffff)) + setInt(0x3f3504f3));
}

/** Natural logarithm. Cephes, logf. */
ATHANOR_INLINE V log(V x) {
  constexpr float c[] = {3.3333331174e-1f,  -2.4999993993e-1f, 2.0000714765e-1f,  -1.6668057665e-1f, 1.4249322787e-1f,
                         -1.2420140846e-1f, 1.1676998740e-1f,  -1.1514610310e-1f, 7.0376836292e-2f};
  V e;
  V m = splitPowerOf2(x, &e) - set(1.0f);
  V z = m * m;
  V y = m * z * polynomial(m, c);
  y = fma(e, set(-2.12194440e-4f), y);
  y = fnma(set(0.5f), z, y);
  V result = fma(e, set(0.693359375f), m + y);
  result = select(x == set(INFINITY), x, result);
  result = select(x == zero(), set(-INFINITY), result);
  return select(~(x >= zero()), set(NAN), result);
}

/** log(1 + x): the rounding of 1 + x is divided out again. Goldberg 1991, theorem 4. */
ATHANOR_INLINE V log1p(V x) {
  V u = set(1.0f) + x;
  V d = u - set(1.0f);
  V y = log(u) * (x / d);
  y = select((d == zero()) | (x == zero()), x, y);
  return select(u == set(INFINITY), u, select(u == zero(), set(-INFINITY), y));
}

/** x P(x^2) / Q(x^2) on [-9.02, 9.02], a least-maximum fit (relative error 2.2e-8); beyond it is 1. */
ATHANOR_INLINE V tanh(V x) {
  constexpr float p[] = {0.999999979961f, 0.133801374336f, 0.00349451344019f, 2.05905690598e-5f, 1.33273834848e-8f};
  constexpr float q[] = {1.0f, 0.467134533437f, 0.0258729454696f, 0.000328384193857f, 7.76574142897e-7f};
  V t = min(set(9.02f), max(set(-9.02f), x));
  V y = t * t;
  V r = t * polynomial(y, p) / polynomial(y, q);
  return min(set(1.0f), max(set(-1.0f), r));
}

/** x P(x^2) / Q(x^2) on [-3.9, 3.9], a least-maximum fit (relative error 1.8e-8); beyond it is 1. */
ATHANOR_INLINE V erf(V x) {
  constexpr float p[] = {1.12837914863f,   0.189546925646f,    0.0526512885897f,
                         0.00373300311757f, 0.000284907433385f, 2.06689677789e-6f};
  constexpr float q[] = {1.0f,             0.501314394722f,   0.113768561376f,
                         0.0149035342996f, 0.00115602075298f, 3.82664239e-5f};
  V y = min(set(15.21f), x * x);  // from there on r leaves [-1, 1]
  V r = x * polynomial(y, p) / polynomial(y, q);
  return min(set(1.0f), max(set(-1.0f), r));
}

ATHANOR_INLINE V reciprocal(V x) { return set(1.0f) / x; }
ATHANOR_INLINE V rsqrt(V x) { return set(1.0f) / sqrt(x); }
ATHANOR_INLINE V sigmoid(V x) { return set(1.0f) / (set(1.0f) + exp(-x)); }
/** sigmoid(x), and 1 - sigmoid(x) without cancellation. */
ATHANOR_INLINE V sigmoid(V x, V* complement) {
  V e = min(set(1e30f), exp(-x));  // finite: infinity times 0 would be NaN; NaN, as second operand, stays
  V s = set(1.0f) / (set(1.0f) + e);
  *complement = e * s;
  return s;
}
ATHANOR_INLINE V silu(V x) { return x / (set(1.0f) + exp(-x)); }
/** Derivative of silu times g. */
ATHANOR_INLINE V siluGrad(V x, V g) {
  V complement;
  V s = sigmoid(x, &complement);
  return g * s * fma(x, complement, set(1.0f));
}

/** 0.5 x (1 + erf(x / sqrt 2)). Hendrycks & Gimpel 2016. */
ATHANOR_INLINE V gelu(V x) {
  V half = set(0.5f) * x;
  return fma(half, erf(x * set(0.70710678118654752f)), half);
}
/** g times gelu' = 1/2 + x P(x^2) / Q(x^2) on [-6, 6], a least-maximum fit (absolute error 4.1e-9); beyond it is 0 or 1. */
ATHANOR_INLINE V geluGrad(V x, V g) {
  constexpr float p[] = {7.97884556e-1f, -2.30791052e-2f, 1.38854080e-2f, 1.89600602e-4f,
                         3.41077662e-5f, 8.84873280e-7f,  1.66166789e-8f};
  constexpr float q[] = {1.0f,           3.04407808e-1f, 4.38726631e-2f, 3.93506827e-3f,
                         2.41922892e-4f, 1.01497750e-5f, 3.26886494e-7f, 1.29189941e-9f};
  V y = min(set(36.0f), x * x);
  V r = x * polynomial(y, p) / polynomial(y, q);
  return g * (set(0.5f) + select(abs(x) > set(6.0f), copySign(set(0.5f), x), r));
}

/** x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3): the same as 0.5 x (1 + tanh u). */
ATHANOR_INLINE V geluTanh(V x) {
  V twoU = set(1.5957691216057308f) * x * fma(set(0.044715f) * x, x, set(1.0f));
  return x * sigmoid(twoU);
}
ATHANOR_INLINE V geluTanhGrad(V x, V g) {
  V squared = x * x;
  V complement;
  V s = sigmoid(set(1.5957691216057308f) * x * fma(set(0.044715f), squared, set(1.0f)), &complement);
  V slope = set(1.5957691216057308f) * fma(set(3 * 0.044715f), squared, set(1.0f));
  return g * fma(x * slope, s * complement, s);
}

/** x - q pi/2 in [-pi/4, pi/4] for |x| <= 8192, and q. Three parts of pi/2; q times the first two is exact. */
ATHANOR_INLINE V reduceByHalfPi(V x, VI* quadrant) {
  V q = round(x * set(0.63661977236758134f));
  *quadrant = toIntRounded(q);
  V r = fnma(q, set(1.5703125f), x);
  r = fnma(q, set(4.8375129699707031250e-4f), r);
  return fnma(q, set(7.5497899548918821e-8f), r);
}

/** Sine (offset 0) or cosine (offset 1) of a reduced angle: Cephes, sinf and cosf. */
ATHANOR_INLINE V sineOfReduced(V r, VI quadrant) {
  constexpr float s[] = {-1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f};
  constexpr float c[] = {4.166664568298827e-2f, -1.388731625493765e-3f, 2.443315711809948e-5f};
  V z = r * r;
  V sine = fma(r * z, polynomial(z, s), r);
  V cosine = fma(z * z, polynomial(z, c), fnma(set(0.5f), z, set(1.0f)));
  V y = select((quadrant & setInt(1)) == setInt(1), cosine, sine);
  return asFloat(asInt(y) ^ shiftLeft<30>(quadrant & setInt(2)));
}

ATHANOR_INLINE V sin(V x) {
  V limited = select(abs(x) <= set(8192.0f), x, zero());
  VI quadrant;
  V r = reduceByHalfPi(limited, &quadrant);
  V y = sineOfReduced(r, quadrant);
  if (all(abs(x) <= set(8192.0f))) return y;
  return forLanes(x, [](float lane) { return static_cast<float>(::sin(static_cast<double>(lane))); });
}
ATHANOR_INLINE V cos(V x) {
  V limited = select(abs(x) <= set(8192.0f), x, zero());
  VI quadrant;
  V r = reduceByHalfPi(limited, &quadrant);
  V y = sineOfReduced(r, quadrant + setInt(1));
  if (all(abs(x) <= set(8192.0f))) return y;
  return forLanes(x, [](float lane) { return static_cast<float>(::cos(static_cast<double>(lane))); });
}

/** base^exponent: the logarithm and its product in f64, so that large ones lose nothing; special cases as in C99. */
ATHANOR_INLINE V pow(V base, V exponent) {
  const V magnitude = abs(base), one = set(1.0f), infinity = set(INFINITY);
  V e;
  const V m = splitPowerOf2(magnitude, &e);
  float mantissas[LANES], exponents[LANES], powers[LANES], results[LANES], scales[LANES];
  store(mantissas, m);
  store(exponents, e);
  store(powers, exponent);
  for (int i = 0; i < LANES; ++i) {
    // log2 m = 2/ln 2 * atanh((m - 1) / (m + 1))
    const double t = (static_cast<double>(mantissas[i]) - 1) / (static_cast<double>(mantissas[i]) + 1), t2 = t * t;
    const double series =
        1 + t2 * (1.0 / 3 + t2 * (1.0 / 5 + t2 * (1.0 / 7 + t2 * (1.0 / 9 + t2 * (1.0 / 11 + t2 / 13)))));
    double power = powers[i] * (static_cast<double>(exponents[i]) + 2.8853900817779268 * t * series);
    power = power < -200 ? -200 : power;
    power = power > 200 ? 200 : power;
    // adding 1.5 * 2^52 leaves no room for a fraction
    const double whole = (power + 6755399441055744.0) - 6755399441055744.0;
    const double z = (power - whole) * 0.69314718055994531;
    double p = 1.0 / 40320 + z * (1.0 / 362880 + z * (1.0 / 3628800));
    p = 1.0 / 720 + z * (1.0 / 5040 + z * p);
    p = 1.0 / 24 + z * (1.0 / 120 + z * p);
    results[i] = static_cast<float>(1 + z * (1 + z * (0.5 + z * (1.0 / 6 + z * p))));
    scales[i] = static_cast<float>(whole);
  }
  V y = scaleByPowerOf2(load(results), load(scales));
  y = select(magnitude == one, one, y);
  y = select(magnitude == zero(), select(exponent > zero(), zero(), infinity), y);
  y = select(magnitude == infinity, select(exponent > zero(), infinity, zero()), y);
  const M integral = floor(exponent) == exponent;
  y = select((base < zero()) & ~integral & (magnitude < infinity), set(NAN), y);
  const M small = abs(exponent) < set(16777216.0f);  // from 2^24 on every f32 is even
  const VI odd = toInt(select(integral & small, exponent, zero())) & setInt(1);
  y = asFloat(asInt(y) | (asInt(base) & shiftLeft<31>(odd)));
  y = select(isNan(base) | isNan(exponent), set(NAN), y);
  return select((exponent == zero()) | (base == one), one, y);
}

/** Remainder with the sign of the divisor; exact. */
ATHANOR_INLINE V floorMod(V a, V b) {
  return forLanes(a, b, [](float x, float y) {
    float r = ::fmodf(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
  });
}

/** -1, 0 or 1; NaN stays. */
ATHANOR_INLINE V sign(V x) { return select(x == zero(), zero(), select(isNan(x), x, copySign(set(1.0f), x))); }

/** The vector functions for one number: on one instruction set the same bits on every machine, unlike libm's. */
ATHANOR_INLINE float firstLane(V v) {
  float lanes[LANES];
  store(lanes, v);
  return lanes[0];
}
ATHANOR_INLINE float expOf(float x) { return firstLane(exp(set(x))); }
ATHANOR_INLINE float logOf(float x) { return firstLane(log(set(x))); }

}  // namespace athanor::ATHANOR_ISA
