"""Outgoing webhooks: who hears of what, the outbox, signing, sending (docs/api/events-and-webhooks.md section 6).

A change writes its event and deliveries with outbox.emit() in its own transaction; workers send them afterwards.
"""
