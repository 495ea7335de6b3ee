// Sorts on a thread of its own, which calls back into Go for each comparison.
void sort_elsewhere(int *values, int count);
