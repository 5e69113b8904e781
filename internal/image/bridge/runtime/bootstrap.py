# SPDX-License-Identifier: Apache-2.0
"""Runs a Python handler, named FILE.FUNCTION by $_HANDLER, over the Lambda Runtime API."""

import http.client
import importlib
import json
import logging
import os
import sys
import threading
import time
import traceback

API = "/2018-06-01/runtime/"
ROOT = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")


class CognitoIdentity:
    def __init__(self, text):
        fields = json.loads(text) if text else {}
        self.cognito_identity_id = fields.get("cognitoIdentityId")
        self.cognito_identity_pool_id = fields.get("cognitoIdentityPoolId")


class Client:
    def __init__(self, fields):
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, fields.get(name))


class ClientContext:
    def __init__(self, fields):
        self.custom = fields.get("custom")
        self.env = fields.get("env")
        self.client = Client(fields["client"]) if isinstance(fields.get("client"), dict) else None


class LambdaContext:
    """What a handler gets as its second argument."""

    def __init__(self, headers):
        env = os.environ.get
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn", "")
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME")
        self.identity = CognitoIdentity(headers.get("Lambda-Runtime-Cognito-Identity"))
        client = headers.get("Lambda-Runtime-Client-Context")
        fields = json.loads(client) if client else None
        self.client_context = ClientContext(fields) if isinstance(fields, dict) else None
        self._deadline = int(headers.get("Lambda-Runtime-Deadline-Ms", 0))

    def get_remaining_time_in_millis(self):
        return max(self._deadline - int(time.time() * 1000), 0)

    def log(self, text):
        print(text, flush=True)


class Api:
    """One connection to the Runtime API, made anew when it is lost."""

    def __init__(self):
        self.address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        self.connection = http.client.HTTPConnection(self.address)

    def call(self, method, path, body=None, headers={}):
        self.connection.request(method, API + path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def next(self):
        status, headers, body = self.call("GET", "invocation/next")
        if status != 200:
            raise SystemExit(f"Lambda Runtime API: next invocation: status {status}")
        return headers, body

    def respond(self, request_id, body, kind):
        status, _, _ = self.call("POST", f"invocation/{request_id}/response", body, {"Content-Type": kind})
        if status not in (202, 413):  # of the latter the caller has heard
            raise SystemExit(f"Lambda Runtime API: response: status {status}")

    def fail(self, path, error):
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": ascii_only(error["errorType"])}
        self.call("POST", path, json.dumps(error).encode(), headers)


def ascii_only(text):
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")


def describe(error, request_id="", kind=None):
    """An exception as the Runtime API has it. Frames of this file are left out."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and not f.filename.startswith("<frozen importlib")]
    return {
        "errorMessage": str(error),
        "errorType": kind or type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_list(frames),
    }


def log_error(error):
    lines = [f"[ERROR] {error['errorType']}: {error['errorMessage']}"]
    if error["stackTrace"]:
        lines.append("Traceback (most recent call last):")
        lines += [line.rstrip("\n") for line in error["stackTrace"]]
    sys.stdout.flush()
    print("\n".join(lines), flush=True)


class InitError(Exception):
    def __init__(self, kind, message, cause=None):
        super().__init__(message)
        self.kind = kind
        if cause is not None:
            self.__traceback__ = cause.__traceback__


def find(name):
    """The function that _HANDLER names."""
    path, dot, function = name.rpartition(".")
    if not dot or not path or not function:
        raise InitError("Runtime.MalformedHandlerName", f"Bad handler '{name}': it is of the form FILE.FUNCTION")
    module = path.replace("/", ".")
    try:
        loaded = importlib.import_module(module)
    except ImportError as e:
        raise InitError("Runtime.ImportModuleError", f"Unable to import module '{module}': {e}", e)
    except SyntaxError as e:
        raise InitError("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {e}", e)
    handler = getattr(loaded, function, None)
    if not callable(handler):
        raise InitError("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module}'")
    return handler


class LogFormatter(logging.Formatter):
    converter = time.gmtime

    def __init__(self):
        super().__init__("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")


current = threading.local()


class RequestFilter(logging.Filter):
    def filter(self, record):
        record.aws_request_id = getattr(current, "request_id", "")
        return True


def set_up_logging():
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LogFormatter())
    handler.addFilter(RequestFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "")
    if level in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
        root.setLevel(level)


class MarshalError(Exception):
    pass


def encode(result):
    if isinstance(result, (bytes, bytearray)):
        return bytes(result), "application/octet-stream"
    try:
        return json.dumps(result, ensure_ascii=False).encode(), "application/json"
    except (TypeError, ValueError) as e:
        raise MarshalError(f"Unable to marshal response: {e}") from None


def serve_one(api, handler, alone):
    headers, body = api.next()
    request_id = current.request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    trace = headers.get("Lambda-Runtime-Trace-Id")
    if alone and trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    leaving = None
    try:
        try:
            event = json.loads(body)
        except ValueError as e:
            error = describe(e, request_id, "Runtime.UnmarshalError")
            error["errorMessage"] = f"Unable to unmarshal input: {e}"
        else:
            result, kind = encode(handler(event, LambdaContext(headers)))
            error = None
    except MarshalError as e:
        error = describe(e, request_id, "Runtime.MarshalError")
    except SystemExit as e:
        error, leaving = describe(e, request_id, "Runtime.ExitError"), e
        error["errorMessage"] = f"RequestId: {request_id} Error: Runtime exited with status {e.code}"
    except BaseException as e:
        error = describe(e, request_id)
    if error is None:
        sys.stdout.flush()
        api.respond(request_id, result, kind)
        return
    log_error(error)
    api.fail(f"invocation/{request_id}/error", error)
    if leaving is not None:
        raise leaving


def serve(handler, alone):
    api = Api()
    while True:
        serve_one(api, handler, alone)


def end_with(serve_forever, *args):
    """What ends one thread ends the process: there would be nobody to take the next event."""
    code = 1
    try:
        serve_forever(*args)
    except SystemExit as e:
        if isinstance(e.code, int):
            code = e.code
        elif e.code is not None:
            print(e.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    sys.path[0] = ROOT
    sys.path[1:1] = ["/opt/python/lib/python%d.%d/site-packages" % sys.version_info[:2], "/opt/python"]
    os.chdir(ROOT)
    sys.stdout.reconfigure(line_buffering=True)
    set_up_logging()
    try:
        handler = find(os.environ.get("_HANDLER", ""))
    except BaseException as e:
        error = describe(e, "", e.kind if isinstance(e, InitError) else "Runtime.ExitError" if isinstance(e, SystemExit) else None)
        log_error(error)
        Api().fail("init/error", error)
        sys.stdout.flush()
        os._exit(1)
    threads = max(int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1), 1)
    for _ in range(threads - 1):
        threading.Thread(target=end_with, args=(serve, handler, False), daemon=True).start()
    end_with(serve, handler, threads == 1)


if __name__ == "__main__":
    main()
