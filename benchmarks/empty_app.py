"""What P7 is held against: Django under the same server with one empty django-ninja endpoint and nothing else."""

from django.conf import settings

settings.configure(
    ROOT_URLCONF="benchmarks.empty_app", ALLOWED_HOSTS=["*"], SECRET_KEY="empty", USE_TZ=True, INSTALLED_APPS=["ninja"]
)

from django.core.asgi import get_asgi_application  # noqa: E402  after the settings
from django.http import HttpRequest  # noqa: E402
from django.urls import path  # noqa: E402
from ninja import NinjaAPI  # noqa: E402

api = NinjaAPI(docs_url=None, openapi_url=None)


@api.get("/health")
def empty(request: HttpRequest) -> dict[str, str]:
    return {}


urlpatterns = [path("v1/", api.urls)]
application = get_asgi_application()
