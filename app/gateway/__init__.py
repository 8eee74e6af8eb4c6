"""The gateway: carries scoring requests to the replicas of deployments, in a process of its own.

`POST|GET /{workspace}/{endpoint}/score` and `GET /{workspace}/{endpoint}/swagger.json`; or the cloud's `/score` and
`/swagger.json` on a host whose first label is the endpoint's name (the key says which, where several have it).

Keys and tokens (`Authorization: Bearer …`) come first: who has no right one is told 401, the same for an endpoint that
is not there, so that nobody learns which are. With a right one: 404 for an unknown deployment or when none has weight,
503 for a stopped endpoint, one that wakes, or one without an instance, 429 with Retry-After beyond what is answered
(`max_concurrent` of each instance) and waiting (as many again), 413 and 408 for bodies that are too long or too slow,
408 for an answer that is late, 424 for a model that failed. What the model itself answers below 500 passes.

Without a key: `GET /healthz`. `GET /metrics` is for programs of this machine (loopback by its own name, unless
ATELIER_BEHIND_PROXY says that all callers come from there), and for API tokens of the studio with onlineEndpoints/read
in the whole install.

`x-atelier-test: true` marks a request as a try: the log keeps it apart from what callers send.
"""
