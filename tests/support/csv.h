/* csv.h: numbers of a run's metrics.csv. */
#ifndef WICK_TESTS_SUPPORT_CSV_H
#define WICK_TESTS_SUPPORT_CSV_H

#include <stdbool.h>

/* The last (or the first) number in a column; the test fails where there is none of that name. */
double csv_value(const char *path, const char *column, bool first);

#endif
