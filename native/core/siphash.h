/* A hash that can't be steered without its secret. */
#ifndef EMMAP_CORE_SIPHASH_H
#define EMMAP_CORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012). */
uint64_t emi_siphash(const uint64_t secret[2], const uint8_t *bytes, size_t length);

#endif
