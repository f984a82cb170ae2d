import asyncio, tempfile, collections
from pathlib import Path
from tests.temporal.servers import run_server
from kling_sandbox import Sandbox, Fault
from kling_temporal import TemporalEngine, make_worker


async def main():
    with tempfile.TemporaryDirectory() as d, run_server(Path(d)) as server, Sandbox(timing="polls:20") as sb:
        client = await server.connect()
        con = {"base_url": sb.base_url, "api_key": sb.api_key}
        w, k = make_worker(client, **con)
        eng = TemporalEngine(client, **con)
        async with k, w:
            async for o in eng.map(
                [{"model": "kling-2", "prompt": "a lighthouse in a storm " * 3}], name="b", save_to=d + "/out"
            ):
                print(o)
        async for ex in client.list_workflows(""):
            h = client.get_workflow_handle(ex.id)
            hist = await h.fetch_history()
            size = sum(e.ByteSize() for e in hist.events)
            desc = await h.describe()
            print(
                ex.workflow_type,
                len(hist.events),
                size,
                desc.raw_description.workflow_execution_info.history_size_bytes,
            )
            for e in hist.events:
                print("   ", e.event_type, e.ByteSize())
            pass
        print(len(sb.requests))


asyncio.run(main())
