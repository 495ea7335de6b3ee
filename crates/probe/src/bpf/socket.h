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

/* A process whose sockets are observed. */
struct tandem_observed {
	unsigned int limit; /* bytes of a message that are copied */
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

/* What is kept of a socket. Made with it, cloned from a listener to its connections, gone with it. */
struct tandem_observed_socket {
	unsigned int process;
	unsigned char last; /* direction of the last payload, and 1; 0: none yet */
	unsigned char order; /* enum tandem_order */
	unsigned char begun[2]; /* by direction: `next` is known */
	unsigned int next[2]; /* sequence number of the next byte */
	unsigned int left[2]; /* bytes of the message that may still be copied */
};

#define TANDEM_SEGMENT_FIN 1
#define TANDEM_SEGMENT_RESET 2

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

/* What the probe did on one CPU. */
struct tandem_socket_statistics {
	unsigned long long segments; /* handed over */
	unsigned long long resent; /* left out: their bytes had been handed over */
	unsigned long long ring_full; /* lost */
	unsigned long long unread; /* headers that are not known, fragments */
	unsigned long long map_full; /* sockets for which there was no memory */
	unsigned long long cut; /* handed over without all of their bytes */
};

#endif
