#ifndef SUTRA_EMBED_GELU_H
#define SUTRA_EMBED_GELU_H

/** x Φ(x) on registers, with the Gaussian's exact distribution function; internal to the kernels.
 * Hendrycks, Gimpel: Gaussian Error Linear Units, 2016. */

#include "src/embed/vectors.h"

/*
 * The Gaussian's upper tail 1 - Φ(a) for a >= 0, as exp(-a²/2) t Q(t) with t = 1 / (1 + 0.35 a),
 * the form of Hastings (Abramowitz, Stegun: Handbook of Mathematical Functions, 7.1.26) with a
 * polynomial of degree 8 fitted for the relative error, which is below 4e-8 up to a = 14.
 */
VECTOR_INLINE floats gauss_tail(floats a)
{
    floats t = 1.0f / (1.0f + 0.35f * a);
    floats q = floats_all(-0.0291459653f);

    q = q * t + 0.143971866f;
    q = q * t - 0.255714596f;
    q = q * t + 0.159174544f;
    q = q * t - 0.023110094f;
    q = q * t + 0.105508111f;
    q = q * t + 0.119832841f;
    q = q * t + 0.139861873f;
    q = q * t + 0.139621404f;
    return floats_exp(-0.5f * a * a) * t * q;
}

VECTOR_INLINE floats floats_gelu(floats x)
{
    floats a = floats_abs(x);

    return 0.5f * (x + a) - a * gauss_tail(a);
}

#endif
