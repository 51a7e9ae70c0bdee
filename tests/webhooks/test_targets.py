"""Where webhooks may go: T-128 when an address is given, T-129 at each attempt."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import WebhookDelivery
from accounts.webhooks import targets
from tests.cast import Api
from tests.runs.driving import ended
from tests.webhooks.receivers import Receiver, deliver_due, receiving

pytestmark = pytest.mark.django_db
Names = Callable[..., None]

REFUSED = [
    "http://93.184.216.34/x", "http://hooks.example.com/x", "ftp://hooks.example.com/x", "hooks.example.com/x", "https://",
    "https:///x", "//hooks.example.com/x", "javascript:alert(1)", "https://user@hooks.example.com/x",
    "https://user:pass@hooks.example.com/x", "https://hooks.example.com:0/", "https://hooks.example.com:99999/",
    "https://ho oks.example.com/", "https://[::1", "https://hooks.example.com/" + "x" * 2048,
    # private, loopback, link-local, unspecified, multicast, reserved, and how else they can be written
    "https://10.1.2.3/", "https://172.16.0.1/", "https://192.168.0.1/", "https://100.64.0.1/", "https://127.0.0.1/",
    "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://169.254.169.254/latest/meta-data",
    "https://192.0.0.192/opc/v1/", "https://168.63.129.16/machine", "https://[3fff::1]/",
    "https://0.0.0.0/", "https://224.0.0.1/", "https://255.255.255.255/", "https://240.0.0.1/",
    "https://[::1]/", "https://[::]/", "https://[fe80::1]/", "https://[fc00::1]/", "https://[fec0::1]/", "https://[ff02::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:93.184.216.34]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
    "https://localhost/", "https://localhost./", "https://api.localhost/", "https://printer.local/", "https://db.internal/",
    "https://DB.Internal./", "https://private.example.com/", "https://mixed.example.com/", "https://mapped.example.com/",
]  # fmt: skip
ACCEPTED = [
    "https://hooks.example.com", "https://hooks.example.com:8443/a/b?c=d#e", "HTTPS://Hooks.Example.COM/x",
    "https://93.184.216.34/x", "https://[2606:2800:220:1::1]/x", "https://nowhere.example.com/x", "https://bücher.example/x",
]  # fmt: skip


@pytest.fixture(autouse=True)
def internet(names: Names) -> None:
    names(hooks_example_com="93.184.216.34", mixed_example_com=["93.184.216.34", "127.0.0.1"])
    names(private_example_com="10.0.0.7", mapped_example_com="::ffff:10.0.0.7")
    names(**{"127_1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1"})


@pytest.mark.parametrize("url", REFUSED)
def test_T_128_refused_addresses(url: str) -> None:
    assert targets.problem(url)


def test_T_128_a_refused_address_is_422_where_it_stands(test_key: Api) -> None:
    hook = test_key.post("/webhooks", {"url": "https://hooks.example.com"}).json()
    for url in (
        "http://hooks.example.com/",
        "https://a:b@hooks.example.com",
        "https://10.1.2.3/",
        "https://private.example.com/",
    ):
        for answer, field in (
            (test_key.post("/runs", {"task": "x", "webhook_url": url}), "webhook_url"),
            (test_key.post("/webhooks", {"url": url}), "url"),
            (test_key.patch(f"/webhooks/{hook['id']}", {"url": url}), "url"),
        ):
            assert answer.status_code == 422, (url, answer.content)
            assert [d["loc"] for d in answer.json()["error"]["details"]] == [["body", field]]
    assert [row["url"] for row in test_key.get("/webhooks").json()["data"]] == ["https://hooks.example.com"]
    assert test_key.get("/runs").json()["data"] == []


@pytest.mark.parametrize("url", ACCEPTED)
def test_T_128_public_https_is_accepted(url: str) -> None:
    assert targets.problem(url) is None


def test_T_128_loopback_needs_the_setting(test_key: Api, settings: Any) -> None:
    own = (
        "http://127.0.0.1:9/x",
        "http://127.9.9.9/x",
        "https://127.0.0.1/",
        "http://[::1]:9/x",
        "http://localhost:9/x",
    )
    settings.WEBHOOK_ALLOW_LOOPBACK = False
    assert all("WEBHOOK_ALLOW_LOOPBACK" in str(targets.problem(url)) for url in own)
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    assert [targets.problem(url) for url in own] == [None] * len(own)
    assert test_key.post("/webhooks", {"url": own[0]}).status_code == 201


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.7/", "http://0.0.0.0/", "https://127.1/", "http://[::ffff:127.0.0.1]/", "http://liar.example.com/"],
)
def test_the_setting_for_loopback_opens_nothing_else(settings: Any, names: Names, url: str) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    names(liar_example_com="127.0.0.1")
    assert targets.problem(url)


def test_listed_hosts_and_networks_are_accepted_with_http(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = ["hooks.internal", "10.0.0.0/24", "fd00::/8"]
    for url in ("http://hooks.internal/x", "http://10.0.0.9/", "https://private.example.com/", "http://[fd00::1]/"):
        assert targets.problem(url) is None, url
    for url in (
        "http://10.0.1.9/",
        "http://other.internal/",
        "https://mixed.example.com/",
        "http://hooks.example.com/",
    ):
        assert targets.problem(url), url


def test_T_129_a_name_that_turns_private_is_refused_at_delivery(
    test_key: Api, receiver: Receiver, names: Names, settings: Any
) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    run = ended(test_key, webhook_url=f"https://hooks.example.com:{port}/hook")
    names(hooks_example_com="127.0.0.1")
    for loopback in (True, False):
        settings.WEBHOOK_ALLOW_LOOPBACK = loopback
        WebhookDelivery.objects.filter(status="pending").update(next_attempt_at="2020-01-01T00:00:00Z")
        deliver_due()
    (row,) = test_key.get(f"/runs/{run['id']}/deliveries").json()["data"]
    assert (row["status"], row["attempts"], row["response_status"]) == ("pending", 2, None)
    assert (
        row["reason"]
        == "The address is not allowed: Must lead to a public address, or to one that WEBHOOK_ALLOWED_HOSTS names."
    )
    assert receiver.got == []


def test_the_connection_goes_to_the_address_that_was_checked(
    test_key: Api, receiver: Receiver, names: Names, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is looked up once; whatever it leads to a moment later is never asked."""
    settings.WEBHOOK_ALLOWED_HOSTS = ["turning.example.com"]
    with receiving() as trap:
        port = receiver.url.split(":")[2].split("/")[0]
        names(turning_example_com="127.0.0.1")
        made = test_key.post("/webhooks", {"url": f"http://turning.example.com:{port}/hook"}).json()
        looked_up, check = [], targets.check

        def check_and_turn(url: str) -> targets.Target:
            found = check(url)
            looked_up.append(url)
            names(turning_example_com="127.0.0.2")
            return found

        monkeypatch.setattr("accounts.webhooks.sending.check", check_and_turn)
        test_key.post(f"/webhooks/{made['id']}/test")
        deliver_due()
        assert len(looked_up) == 1
        assert receiver.events == ["webhook.test"]
        assert receiver.got[0].headers["host"] == f"turning.example.com:{port}"
        assert trap.got == []


def test_a_name_that_does_not_resolve_fails_at_delivery(test_key: Api, names: Names) -> None:
    run = ended(test_key, webhook_url="https://nowhere.example.com/x")
    deliver_due()
    (row,) = test_key.get(f"/runs/{run['id']}/deliveries").json()["data"]
    assert row["reason"] == "The host name nowhere.example.com could not be resolved"


def test_the_second_address_of_a_host_is_tried(test_key: Api, receiver: Receiver, names: Names, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = ["twofold.example.com"]
    port = receiver.url.split(":")[2].split("/")[0]
    names(twofold_example_com=["127.0.0.3", "127.0.0.1"])
    made = test_key.post("/webhooks", {"url": f"http://twofold.example.com:{port}/hook"}).json()
    test_key.post(f"/webhooks/{made['id']}/test")
    deliver_due()
    assert receiver.events == ["webhook.test"]
