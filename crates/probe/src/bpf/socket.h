/*
 * What the sockets' probe (socket.bpf.c) and its loader (src/socket) share. The Rust side is generated from the
 * object's type information.
 */
#ifndef TANDEM_SOCKET_H
#define TANDEM_SOCKET_H

/* Processes whose sockets can be observed at once. */
#define TANDEM_OBSERVED_COUNT 4096
/* Connections that the agent has given an order for; the least recently used go. */
#define TANDEM_ORDER_COUNT 16384

/* Bytes that one event can hold; what is behind them is counted, not copied. */
#define TANDEM_SEGMENT_LIMIT 4096
/* Events that one segment can become, where all of it is wanted. */
#define TANDEM_PIECES 16

/* Threads whose requests are known; the least recently used go. */
#define TANDEM_SERVING_COUNT 1024
/* Connections that programs have made and that are followed; what comes then is left as it is. */
#define TANDEM_RELAYING_COUNT 1024

/* A process whose sockets are observed. */
struct tandem_observed {
	unsigned int limit; /* bytes of a message that are copied */
	unsigned char relays; /* 1: its threads serve, and its requests get a traceparent */
	unsigned char asked; /* 1: somebody has asked it for something */
	unsigned short reserved;
};

enum tandem_direction {
	TANDEM_OUT = 0, /* from the process */
	TANDEM_IN = 1, /* to it */
};

enum tandem_order {
	TANDEM_ORDER_NONE = 0,
	TANDEM_ORDER_QUIET = 1, /* nothing more of this connection */
	TANDEM_ORDER_EACH = 2, /* the limit is that of each segment: both directions go on at once */
};

/* The request that came last on a connection. */
struct tandem_request {
	unsigned long long reader; /* process and thread that have read it; 0: nobody yet, or it has been answered */
	unsigned char trace_id[16]; /* of its traceparent; zeros: it has none */
	unsigned int sequence; /* number of its first byte */
	unsigned char trace_flags;
	unsigned char is_new; /* 1: nobody has read it yet */
	unsigned short reserved;
};

/* A thread that has read a request and not answered it. */
struct tandem_serving {
	unsigned long long cookie; /* of the socket */
	unsigned long long since; /* CLOCK_MONOTONIC, ns */
	unsigned char trace_id[16]; /* zeros: none yet */
	unsigned char span_id[8]; /* the request's own, from when it is first needed */
	unsigned int sequence; /* of the request's first byte */
	unsigned int open; /* requests that it has read and not answered */
	unsigned char trace_flags;
	unsigned char is_mixed; /* 1: there were several at once */
	unsigned char reserved[6];
};

/* What is kept of a socket. Made with it, cloned from a listener to its connections, gone with it. */
struct tandem_observed_socket {
	unsigned int process;
	unsigned char last; /* direction of the last payload, and 1; 0: none yet */
	unsigned char order; /* enum tandem_order */
	unsigned char begun[2]; /* by direction: `next` is known */
	unsigned int next[2]; /* sequence number of the next byte */
	unsigned int left[2]; /* bytes of the message that may still be copied */
	/* What comes to it: */
	struct tandem_request request;
	/* What goes out, of a connection that its process has made: */
	unsigned int body; /* bytes of a request that are still to come */
	unsigned char is_clear; /* 1: it is known where a request begins */
	unsigned char reserved[3];
};

#define TANDEM_SEGMENT_FIN 1
#define TANDEM_SEGMENT_RESET 2
#define TANDEM_SEGMENT_GIVEN 4 /* it is none, but tells of struct tandem_given */

/* A segment or datagram; `copied` bytes of its payload follow. */
struct tandem_segment {
	unsigned long long cookie; /* of the socket; never used again */
	unsigned long long time; /* CLOCK_MONOTONIC, ns */
	unsigned int process;
	unsigned int thread; /* that sends; 0: not known */
	unsigned int sequence; /* of its first byte; TCP only */
	unsigned int length; /* bytes of payload */
	unsigned int copied;
	unsigned char direction; /* enum tandem_direction */
	unsigned char flags; /* TANDEM_SEGMENT_* */
	unsigned char version; /* 4 or 6, of IP */
	unsigned char protocol; /* 6: TCP, 17: UDP */
	unsigned short local_port;
	unsigned short remote_port;
	unsigned char local[16];
	unsigned char remote[16];
	unsigned int reserved;
};

/*
 * A request that was given a traceparent. In its segment, cookie and sequence are those of the request that the thread
 * serves; a cookie of 0: none.
 */
struct tandem_given {
	unsigned char trace_id[16];
	unsigned char parent_id[8]; /* which the request that is served has from now on */
	unsigned char span_id[8];
	unsigned char trace_flags;
	unsigned char reserved[7];
};

/* What the probe did on one CPU. */
struct tandem_socket_statistics {
	unsigned long long segments; /* handed over */
	unsigned long long resent; /* left out: their bytes had been handed over */
	unsigned long long ring_full; /* lost */
	unsigned long long unread; /* headers that are not known, fragments */
	unsigned long long map_full; /* sockets for which there was no memory */
	unsigned long long cut; /* handed over without all of their bytes */
	unsigned long long inserted; /* requests that were sent with our header */
	unsigned long long not_inserted; /* requests in which there was no place for it */
};

#endif
