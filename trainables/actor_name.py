"""The name of a trial's actor in the Ray dashboard, renewed when the actor gets its next trial.

Ray reads an actor's ``__repr__`` once, when it creates the actor. The dashboard follows the actor
table's channel in the cluster's control store (GCS). An actor that serves several trials therefore
publishes its own entry again under its new name. The dashboard's Actors page and
``/logical/actors`` show it within seconds; ``ray list actors`` reads the table itself and keeps the
first name. Ray has no public call for this. If a version of Ray lacks these private functions, the
first name stays, without a message.
Source: https://docs.ray.io/en/latest/ray-observability/getting-started.html#actors-view
"""

import logging

import ray

logger = logging.getLogger(__name__)


def show_actor_as(name: str) -> None:
    """Show this process's actor as ``name`` in the dashboard. Does nothing outside an actor."""
    try:
        _publish(name)
    except Exception as error:  # no trial may fail because of a label
        logger.debug("the dashboard keeps this actor's old name: %s", error)


def _publish(name: str) -> None:
    from ray._private.grpc_utils import init_grpc_channel
    from ray._private.worker import global_worker
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, pubsub_pb2

    if not ray.is_initialized() or global_worker.actor_id.is_nil():
        return
    actor_id = global_worker.actor_id.binary()
    with init_grpc_channel(global_worker.gcs_client.address, None) as channel:
        actors = gcs_service_pb2_grpc.ActorInfoGcsServiceStub(channel)
        entry = actors.GetActorInfo(
            gcs_service_pb2.GetActorInfoRequest(actor_id=actor_id), timeout=5
        ).actor_table_data
        entry.repr_name = name
        message = pubsub_pb2.PubMessage(
            channel_type=pubsub_pb2.ChannelType.GCS_ACTOR_CHANNEL,
            key_id=actor_id,
            actor_message=entry,
        )
        publisher = gcs_service_pb2_grpc.ControlPlanePubSubGcsServiceStub(channel)
        publisher.GcsPublish(gcs_service_pb2.GcsPublishRequest(pub_messages=[message]), timeout=5)
