"""A shop of two pages on this computer. Everything stands where the story clicks, on a screen of 1280x800."""

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_STYLE = """body{margin:0;font:20px/1.4 sans-serif;color:#243024;background:#f6f4ec}
header{background:#2f5d3a;color:#fff;padding:24px 100px;font-size:32px}
form *{position:absolute} label,h2{margin:0;left:100px} label{left:140px}
input[type=radio]{left:110px;width:20px;height:20px;margin:0} input[type=text]{left:100px;width:420px;height:44px;font-size:20px}
button{font-size:20px;background:#2f5d3a;color:#fff;border:0;border-radius:6px}
#news{position:fixed;inset:0;background:#0008} #news>div{position:absolute;left:340px;top:240px;width:600px;height:320px;
background:#fff;border-radius:12px} #news *{position:absolute}"""
_TOP = f"<!doctype html><meta charset=utf-8><title>Tea shop</title><style>{_STYLE}</style><header>Tea shop</header>"
HOME = f"""{_TOP}<form action=/order><h2 style="top:120px">Which tea?</h2>
<input type=radio name=tea value=Darjeeling id=d style="top:200px"><label for=d style="top:196px">Darjeeling, 250 g: 14.50</label>
<input type=radio name=tea value=Assam id=a style="top:250px"><label for=a style="top:246px">Assam, 250 g: 12.40</label>
<input type=radio name=tea value=Sencha id=s style="top:300px"><label for=s style="top:296px">Sencha, 250 g: 18.90</label>
<label for=n style="left:100px;top:370px">Name</label><input type=text id=n name=name style="top:405px">
<label for=c style="left:100px;top:470px">City</label><input type=text id=c name=city style="top:505px">
<button style="left:100px;top:605px;width:220px;height:50px">Place the order</button></form>
<div id=news><div><h2 style="left:40px;top:30px">Our newsletter</h2><p style="left:40px;top:90px">A letter about tea, every morning.</p>
<button type=button style="left:40px;top:210px;width:220px;height:60px">Subscribe</button>
<button type=button style="left:340px;top:210px;width:220px;height:60px" onclick="news.remove()">No, thanks</button></div></div>"""


def _order(query: str) -> str:
    tea, name, city = (html.escape(parse_qs(query).get(field, ["?"])[0]) for field in ("tea", "name", "city"))
    return (
        f"{_TOP}<main style='padding:40px 100px'><h1>Order 4711 is placed</h1><p>{tea}, 250 g, to {name} in {city}.</p>"
        "<p>Thank you.</p></main>"
    )


class _Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = urlsplit(self.path)
        page = _order(address.query) if address.path == "/order" else HOME
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def open_shop() -> Iterator[str]:
    """Its host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    threading.Thread(target=server.serve_forever, name="shop", daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
