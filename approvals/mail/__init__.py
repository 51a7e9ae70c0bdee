"""Mail about requests: who is told, the outbox with its attempts, letters, signed links, reminders (docs/mail.md)."""
