import asyncio,sys
from kling_temporal import connect
async def main():
    c=await connect(sys.argv[1])
    async for ex in c.list_workflows("ExecutionStatus='Running'"):
        d=await c.get_workflow_handle(ex.id).describe()
        for a in d.raw_description.pending_activities:
            print(ex.id, a.activity_type.name, a.state, a.attempt, a.last_failure.message[:80], a.scheduled_time.ToDatetime(), a.last_heartbeat_time.ToDatetime(), a.current_retry_interval.seconds if a.HasField('current_retry_interval') else '')
        if not d.raw_description.pending_activities: print(ex.id, "none", d.raw_description.pending_workflow_task)
asyncio.run(main())
