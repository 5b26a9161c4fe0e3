"""Records sent to a stream as its producers send them, and results read from it as any subscriber reads them.

Files become records (`input_files`, `columns`), records go out (`producer`, `replay`, `pacing`, `merge`,
`sending`), some of them malformed on purpose (`malformed`), and what came out is counted by the id of what
was sent (`result_reader`, `observed`, `latency`). No counter of the service is trusted.
"""
