#include <pthread.h>
#include <stdlib.h>

#include "_cgo_export.h"
#include "sort.h"

struct job {
	int *values;
	int count;
};

static int compare(const void *a, const void *b)
{
	return goCompare(*(const int *)a, *(const int *)b);
}

static void *work(void *argument)
{
	struct job *job = argument;
	qsort(job->values, job->count, sizeof(int), compare);
	return NULL;
}

void sort_elsewhere(int *values, int count)
{
	struct job job = {values, count};
	pthread_t thread;
	if (pthread_create(&thread, NULL, work, &job) != 0)
		abort();
	pthread_join(thread, NULL);
}
