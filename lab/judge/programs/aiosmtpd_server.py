"""aiosmtpd receives the host's mail, and Python's parser of mail reads it."""

import email
import email.policy
import importlib.metadata

from aiosmtpd.controller import Controller
from clients import TOLD
from webhooks import admin, check, finish, step, until

# The replies to the first mail for a recipient, and those to every one.
LATER = {"later@example.org": "451 4.3.0 try again"}
UNKNOWN = {"unknown@example.org"}
SUBJECT = "Vaše objednávka č. 7 🪑 " + "a long subject that is folded " * 4
TEXT = "Dobrý den\r\n.\r\n..two dots\r\nFrom here\r\n" + "x" * 3_000 + "\r\n"
HTML = "<p>Dobrý den, <b>Ada</b></p>"
RECEIVED = []


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in UNKNOWN:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            reply = LATER.pop(address, None)
            if reply:
                return reply
        RECEIVED.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 OK"


def mail(**members):
    """Sends a mail by the plugin, and gives its id."""
    answer = step({"mail": {"subject": SUBJECT, "text": TEXT, **members}})
    if "ok" not in answer:
        raise RuntimeError(f"{members}: {answer}")
    return answer["ok"]


def to(address):
    """The mails that came for a recipient."""
    return [mail for mail in RECEIVED if address in mail[1]]


def parsed(content):
    return email.message_from_bytes(content, policy=email.policy.SMTP)


controller = Controller(Handler(), hostname=TOLD["smtp"]["host"], port=TOLD["smtp"]["port"])
controller.start()
try:
    # All at once, so that the mail for `later` waits meanwhile.
    later = mail(to="later@example.org", key="judge-later")
    unknown = mail(to=["unknown@example.org", "known@example.org"])
    mail(
        to="Ada@Example.org", cc="copy@example.org", bcc="blind@example.org", reply_to="desk@example.com",
        html=HTML, tags=["receipt"], headers=[["X-Order", "7"]],
        attachments=[{"name": "účet 7.txt", "type": "text/plain", "text": "42 €"}],
    )

    sender, recipients, content = until("the mail", lambda: to("blind@example.org"))[0]
    message = parsed(content)
    check("the sender", sender == "shop@example.com", sender)
    check("the recipients", len(recipients) == 3 and "copy@example.org" in recipients, recipients)
    defects = [defect for part in message.walk() for defect in part.defects]
    check("defects", not defects, defects)
    check("the subject", message["subject"].strip() == SUBJECT.strip(), message["subject"])
    check("blind copies are not named", b"blind@" not in content, content[:600])
    for name in ("from", "to", "cc", "date", "message-id", "reply-to", "mime-version"):
        check(f"the field {name}", len(message.get_all(name, [])) == 1, message.keys())
    check("the plugin's own field", message["x-order"] == "7", message.keys())
    check("tags are not sent", b"receipt" not in content, "a tag")
    text = message.get_body(("plain",))
    check("the text", text is not None and text.get_content().replace("\r\n", "\n").strip()
          == TEXT.replace("\r\n", "\n").strip(), text)
    html = message.get_body(("html",))
    check("the html", html is not None and html.get_content().strip() == HTML, html)
    attachments = list(message.iter_attachments())
    check("the attachment", [part.get_filename() for part in attachments] == ["účet 7.txt"], attachments)
    contents = [part.get_payload(decode=True) for part in attachments]
    check("its content", contents == ["42 €".encode()], contents)
    longest = max(len(line) for line in content.split(b"\r\n"))
    check("the length of lines (RFC 5322, 2.1.1)", longest <= 998, longest)

    until("the mail for the known one", lambda: to("known@example.org"))
    check("the unknown one is not in the envelope", not to("unknown@example.org"), "it is")
    addresses = str(admin("GET", "/mail/suppressions"))
    check("the unknown one is suppressed", "unknown@example.org" in addresses, addresses)
    shown = admin("GET", f"/mail/{unknown}")
    check("the reply is shown", "5.1.1" in str(shown), shown)

    # The first try was answered with 451, and the back-off is 30 s.
    until("the second try", lambda: to("later@example.org"), seconds=90)
    again = step({"mail": {"to": "later@example.org", "subject": "s", "text": "t", "key": "judge-later"}})
    check("a key that was used", again.get("ok") == later and len(to("later@example.org")) == 1, again)
    until("the state of the mail", lambda: admin("GET", f"/mail/{later}")["state"] == "sent")
finally:
    controller.stop()
finish(f"aiosmtpd {importlib.metadata.version('aiosmtpd')}")
