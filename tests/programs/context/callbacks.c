// Calls back into Go: on the thread of who calls, and on a thread that Go knows nothing of.
#include <pthread.h>

#include "_cgo_export.h"

void bed_call_here(int number) { bedCallback(number); }

struct calls {
	int number, times;
};

static void *call_often(void *arg)
{
	struct calls *calls = arg;
	for (int time = 0; time < calls->times; time++)
		bedCallback(calls->number);
	return NULL;
}

void bed_call_on_thread(int number, int times)
{
	struct calls calls = {number, times};
	pthread_t thread;
	if (pthread_create(&thread, NULL, call_often, &calls) == 0)
		pthread_join(thread, NULL);
}
