"""What is asked with pictures as files: multipart/form-data, one part `request` with the JSON and up to four parts `picture`."""

import base64
from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParserError
from django.http.request import RawPostDataException, UnreadablePostError
from django.utils.datastructures import MultiValueDict

from web.bodies import body_limit, parsed, read_fields, storable
from web.errors import Invalid, PayloadTooLarge

MOST_FILES = 5  # one more than is allowed, so that the refusal names them


def fields_of(request: HttpRequest) -> dict[str, Any]:
    """The fields of POST /v1/approvals, pictures as Base64 whichever way they came. Raises Invalid, PayloadTooLarge."""
    if request.content_type != "multipart/form-data" or not _body(request).lstrip().startswith(b"--"):
        return read_fields(request)
    try:
        texts, files = request.POST, request.FILES
    except (MultiPartParserError, TooManyFieldsSent, TooManyFilesSent, UnicodeError, ValueError) as error:
        raise Invalid((("body",), "Not valid as multipart/form-data.", "json_invalid")) from error
    _require_known(texts, files)
    text = texts.get("request", "")
    if "\ufffd" in text:  # what stands for bytes that are no UTF-8; in JSON it can be written \\ufffd
        raise Invalid((("body", "request"), "Must be UTF-8.", "json_invalid"))
    fields = storable(parsed(text.encode(errors="surrogatepass")))
    pictures = [base64.b64encode(file.read()).decode() for file in files.getlist("picture")[:MOST_FILES]]
    return _with_pictures(fields, pictures) if pictures else fields


def _require_known(texts: QueryDict, files: "MultiValueDict[str, UploadedFile[bytes]]") -> None:
    """Raises Invalid for parts that are something else."""
    if set(texts) - {"request"} or set(files) - {"picture"} or len(texts.getlist("request")) != 1:
        message = "Must have one part request with JSON, and else parts picture with files only."
        raise Invalid((("body",), message, "value_error"))


def _body(request: HttpRequest) -> bytes:
    """Read whole before it is taken apart. Raises as web.bodies.read_json()."""
    try:
        return request.body
    except RequestDataTooBig as error:
        raise PayloadTooLarge(max_bytes=body_limit(request.path_info)) from error
    except (RawPostDataException, UnreadablePostError) as error:
        raise Invalid((("body",), "The body could not be read.", "json_invalid")) from error


def _with_pictures(fields: dict[str, Any], pictures: list[str]) -> dict[str, Any]:
    evidence = fields.get("evidence") or {}
    if not isinstance(evidence, dict):
        return fields  # which its model refuses
    if evidence.get("pictures"):
        at = ("body", "evidence", "pictures")
        raise Invalid((at, "Send pictures either here or as parts of the body, not both.", "value_error"))
    return fields | {"evidence": evidence | {"pictures": pictures}}
