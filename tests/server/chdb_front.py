"""A small HTTP front for chdb: the parts of ClickHouse's HTTP interface that framelock/server uses. chdb is ClickHouse
itself as a library; it has no server of its own. Prints its port, serves until its standard input ends.

POST /?query=…&param_x=…&setting=…   the body is the query when there is no `query`, else an INSERT's data
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

SESSION = session.Session(sys.argv[1])
# chdb runs one query at a time.
LOCK = threading.Lock()
# What a test asks to go wrong: the number of the INSERT after which the connection is cut.
TROUBLE = {"cut_after": None, "inserts": 0}


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        arguments = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if urlsplit(self.path).path == "/trouble":
            TROUBLE.update(json.loads(body))
            return self.answer(200, b"")
        query = arguments.pop("query", None)
        data = None
        if query is None:
            query = body.decode()
        else:
            data = body
        parameters = {k[6:]: v for k, v in arguments.items() if k.startswith("param_")}
        # HTTP's own, no setting: the answer comes when all is done, as it does here.
        arguments.pop("wait_end_of_query", None)
        output = arguments.pop("default_format", "TabSeparated")
        settings = {k: v for k, v in arguments.items() if not k.startswith("param_") and k != "database"}
        try:
            with LOCK:
                for name, value in parameters.items():
                    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                    SESSION.query(f"SET param_{name} = '{quoted}'")
                if arguments.get("database"):
                    SESSION.query(f"USE `{arguments['database']}`")
                result = self.run(query, data, settings, output)
        except Exception as error:  # The message is ClickHouse's, with its code in it.
            return self.answer(500, str(error).encode())
        if data is not None:
            TROUBLE["inserts"] += 1
            if TROUBLE["cut_after"] == TROUBLE["inserts"]:
                # Done, and nobody is told.
                self.connection.close()
                return None
        return self.answer(200, result)

    def run(self, query, data, settings, output):
        pairs = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
        if data is None:
            suffix = f" SETTINGS {pairs}" if pairs and query.lstrip().upper().startswith("SELECT") else ""
            return SESSION.query(query + suffix, output).bytes()
        # The data of an INSERT comes from a file, which is what the format reads anyway.
        path = os.path.join(sys.argv[1], f"data-{threading.get_ident()}")
        with open(path, "wb") as file:
            file.write(data)
        head, _, form = query.rpartition(" FORMAT ")
        try:
            SESSION.query(f"{head} FROM INFILE '{path}'{' SETTINGS ' + pairs if pairs else ''} FORMAT {form}")
        finally:
            os.unlink(path)
        return b""

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
