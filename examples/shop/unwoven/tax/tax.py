"""Tax is the service that knows how much tax is on a product, which depends on what the inventory says of it.

It has nothing but Python's standard library. GET /rates/SKU answers {"percent": N}.
"""

import http.server
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request

INVENTORY = os.environ.get("SHOP_INVENTORY_ADDR", "127.0.0.1:8082")
FULL, REDUCED = 19, 7


def percent(sku):
    url = f"http://{INVENTORY}/items/{urllib.parse.quote(sku, safe='')}"
    with urllib.request.urlopen(url, timeout=10) as response:
        item = json.load(response)
    return REDUCED if item["price_cents"] < 1000 else FULL


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        try:
            if self.path == "/healthz":
                self.answer(200, {"status": "ok"})
            elif self.path.startswith("/rates/"):
                sku = urllib.parse.unquote(self.path.removeprefix("/rates/"))
                self.answer(200, {"percent": percent(sku)})
            else:
                self.answer(404, {"error": "no such page"})
        except urllib.error.HTTPError as error:
            self.answer(error.code, {"error": "the inventory does not know it"})
        except OSError as error:
            self.answer(502, {"error": str(error)})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # as quiet as the others with SHOP_LOG_LEVEL=warn


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self):
        handed = os.environ.get("SHOP_LISTEN_FD")
        if handed is None:
            host, _, port = os.environ.get("SHOP_TAX_ADDR", "127.0.0.1:8085").rpartition(":")
            super().__init__((host, int(port)), Handler)
            return
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=int(handed))


server = Server()
for number in (signal.SIGTERM, signal.SIGINT):
    # Not here: shutdown waits for the loop that this interrupts.
    signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.1)
