/*
 * numeric_parts.h
 *		Numerics as their on-disk digits: taken apart, and as 128-bit integers in units of 10000 ^ -fraction.
 *
 * For the kernels over numeric, and for nobody else.  The form has not changed since PostgreSQL 9.1.
 */
#ifndef SF_NUMERIC_PARTS_H
#define SF_NUMERIC_PARTS_H

#include "streamfuse.h"

#define NUMERIC_BASE 10000
#define MAX_DIGITS 9 /* of any value in an int128, with room to add */

/* What is not finite. */
#define NUMERIC_SUM_NAN 1
#define NUMERIC_SUM_PLUS_INFINITY 2
#define NUMERIC_SUM_MINUS_INFINITY 4

/* A numeric, taken apart. */
typedef struct NumericParts
{
	uint32 special; /* NUMERIC_SUM_*, or 0 */
	bool negative;
	int dscale;
	int weight; /* the first digit counts 10000 ^ weight */
	int ndigits;
	const char *digits; /* int16 each, maybe not aligned */
} NumericParts;

static inline uint16
get_word(const char *at)
{
	uint16 word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline void
take_apart(const struct varlena *value, NumericParts *parts)
{
	const char *at = VARDATA_ANY(value);
	int size = VARSIZE_ANY_EXHDR(value);
	uint16 head = get_word(at);

	parts->special = 0;
	if ((head & 0x8000) == 0)
	{
		/* long form: sign and scale, then the weight */
		parts->negative = (head & 0x4000) != 0;
		parts->dscale = head & 0x3FFF;
		parts->weight = (int16) get_word(at + 2);
		parts->digits = at + 4;
		parts->ndigits = (size - 4) / 2;
	}
	else if ((head & 0x4000) == 0)
	{
		/* short form: one bit of sign, six of scale, seven of weight */
		parts->negative = (head & 0x2000) != 0;
		parts->dscale = (head & 0x1F80) >> 7;
		parts->weight = (head & 0x003F) - (head & 0x0040);
		parts->digits = at + 2;
		parts->ndigits = (size - 2) / 2;
	}
	else if ((head & 0x3000) == 0)
		*parts = (NumericParts){.special = NUMERIC_SUM_NAN};
	else
		*parts = (NumericParts){.special = (head & 0x2000) ? NUMERIC_SUM_MINUS_INFINITY : NUMERIC_SUM_PLUS_INFINITY};
}

static const int64 small_powers[] = {1, 10000, 100000000, INT64CONST(1000000000000), INT64CONST(10000000000000000)};

static inline int128
power_of_base(int exponent)
{
	int128 result = 1;

	for (; exponent > 4; exponent -= 4)
		result *= small_powers[4];
	return result * small_powers[exponent];
}

/* Digits after the point, in base 10000. */
static inline int
fraction_of(const NumericParts *parts)
{
	return parts->ndigits == 0 ? 0 : Max(0, parts->ndigits - 1 - parts->weight);
}

/* Does it fit into an int128 in units of 10000 ^ -fraction? */
static inline bool
fits(const NumericParts *parts, int fraction)
{
	return parts->ndigits == 0 || (fraction <= MAX_DIGITS && parts->weight + 1 + fraction <= MAX_DIGITS);
}

static inline int128
in_units(const NumericParts *parts, int fraction)
{
	int zeros = parts->weight + 1 + fraction - parts->ndigits;
	int128 value;

	if (parts->ndigits == 0)
		return 0;
	if (parts->ndigits <= 4)
	{
		int64 small = 0;

		for (int i = 0; i < parts->ndigits; i++)
			small = small * NUMERIC_BASE + get_word(parts->digits + 2 * i);
		value = small;
	}
	else
	{
		value = 0;
		for (int i = 0; i < parts->ndigits; i++)
			value = value * NUMERIC_BASE + get_word(parts->digits + 2 * i);
	}
	if (zeros > 0)
		value *= power_of_base(zeros);
	return parts->negative ? -value : value;
}

#endif /* SF_NUMERIC_PARTS_H */
