"""How far views may be behind under load that nobody withdraws and looks at at once: a batch costs as many rows."""

LINGER_MS = 200
