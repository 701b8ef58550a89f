"""Two addresses: one dispatches a job, one shows how it stands."""

from django.http import Http404, HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from heracles import Queue
from shop.jobs import ConfirmOrder

orders = Queue.get("orders").sync


@csrf_exempt
@require_POST
def order(_: HttpRequest, number: int) -> JsonResponse:
    """Dispatch a job and answer at once. Asked twice for one order, it is one job."""
    handle = orders.dispatch(ConfirmOrder(number), dispatch_id=f"order-{number}")
    return JsonResponse({"id": handle.dispatch_id}, status=202)


def job(_: HttpRequest, dispatch_id: str) -> JsonResponse:
    """How the job stands, and its result once it has one."""
    info = orders.get_job(dispatch_id)
    if info is None:
        raise Http404
    return JsonResponse({"status": info.status, "result": info.result, "error": info.error})


urlpatterns = [path("orders/<int:number>/", order), path("jobs/<str:dispatch_id>/", job)]
