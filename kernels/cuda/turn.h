/* turn.h: cosine and sine of a part of the whole turn. */
#ifndef WICK_KERNELS_CUDA_TURN_H
#define WICK_KERNELS_CUDA_TURN_H

#include "cuda/device.h"

/* On the device by functions of multiples of π: those of radians take local memory for angles that do not come here. */
#ifdef WICK_CUDA_EMULATOR
__device__ __forceinline__ void wk_turn(float part, float *cosine, float *sine) {
    *cosine = cosf(6.2831853f * part), *sine = sinf(6.2831853f * part);
}
__device__ __forceinline__ void wk_turn(double part, double *cosine, double *sine) {
    *cosine = cos(6.283185307179586 * part), *sine = sin(6.283185307179586 * part);
}
#else
__device__ __forceinline__ void wk_turn(float part, float *cosine, float *sine) {
    sincospif(2 * part, sine, cosine);
}
__device__ __forceinline__ void wk_turn(double part, double *cosine, double *sine) {
    sincospi(2 * part, sine, cosine);
}
#endif

#endif
