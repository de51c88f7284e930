"""The image's HEALTHCHECK: exit status 0 if the server in this container answers `/health/live`. There is no curl."""

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 3.0


def main() -> int:
    # HTTPConnection, because urllib would use a proxy from the environment.
    connection = HTTPConnection("127.0.0.1", int(os.environ["KAKEHASHI_PORT"]), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return int(connection.getresponse().status != 200)
    except (OSError, HTTPException) as error:
        print(f"/health/live: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
