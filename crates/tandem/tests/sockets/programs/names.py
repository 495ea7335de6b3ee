"""Answers questions for addresses: 192.0.2.1 for every name but those that begin with `no`."""
import socket
import struct

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    question, asker = server.recvfrom(4096)
    number = question[:2]
    end = question.index(b"\0", 12) + 5
    known = question[13:15] != b"no"
    head = number + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, 1 if known else 0, 0, 0)
    answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
    server.sendto(head + question[12:end] + (answer if known else b""), asker)
