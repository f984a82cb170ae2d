import asyncio,sys
from kling_temporal import connect
async def main():
    c=await connect(sys.argv[1])
    async for ex in c.list_workflows("ExecutionStatus='Running'"):
        d=await c.get_workflow_handle(ex.id).describe()
        st=ex.typed_search_attributes
        for a in d.raw_description.pending_activities:
            print(ex.id[:20], a.activity_type.name, a.state, a.attempt, a.last_failure.message[:80], "sched",a.scheduled_time.ToDatetime().time(), "started", a.last_started_time.ToDatetime().time(),"hb",a.last_heartbeat_time.ToDatetime().time())
        if not d.raw_description.pending_activities: print(ex.id[:20], "none", d.raw_description.pending_workflow_task.state)
asyncio.run(main())
