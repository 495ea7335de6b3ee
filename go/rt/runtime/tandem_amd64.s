#include "textflag.h"

// func tandem_ticks() uint64
TEXT runtime·tandem_ticks<ABIInternal>(SB), NOSPLIT|NOFRAME, $0-0
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	RET
