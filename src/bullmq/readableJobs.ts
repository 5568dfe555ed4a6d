/**
 * Reads every job of a queue, whatever its producer has written. BullMQ rejects a whole list of jobs if one of them cannot
 * be parsed, and its worker takes such a job again and again without failing it. Here
 *
 *   data that is not JSON                  is undefined if a worker takes the job, which no JSON text is, and null in a list
 *   options, progress or parent: not JSON  count as absent if a worker takes the job; a list leaves the job out
 *   a job whose child has failed it        is taken, with `childFailureOf`: BullMQ would fail it without an event
 */
import { type BackendFactory, Job, type JobJson, type RedisQueueBackend } from 'bullmq';

const childFailures = new WeakMap<Job, string>();

/** The reason for which the job must fail. Undefined: no child has failed it. */
export function childFailureOf(job: Job): string | undefined {
  return childFailures.get(job);
}

/** A job that a worker has taken. */
export function takenJob(queue: Parameters<typeof Job.fromJSON>[0], json: JobJson, jobId: string): Job {
  const { deferredFailure, ...rest } = json;
  const isReadable = isJson(rest.data);
  const job = Job.fromJSON(queue, isReadable ? rest : { ...rest, data: 'null' }, jobId);
  if (!isReadable) job.data = undefined;
  if (deferredFailure) childFailures.set(job, deferredFailure);
  return job;
}

/** Scripts that reply with `[job, ...]`, the job's fields as names and values in turn. */
const taking = new Set(['moveToActive', 'moveToFinished']);

/** A layer around the last argument of BullMQ's `Queue` and `Worker`. */
export function readsEveryJob(create: BackendFactory<RedisQueueBackend>): BackendFactory<RedisQueueBackend> {
  return (name, opts, connections) => {
    const backend = create(name, opts, connections);
    const execCommand = backend.execCommand.bind(backend);
    const getJobData = backend.getJobData.bind(backend);
    return Object.assign(backend, {
      async execCommand(...args: Parameters<typeof execCommand>) {
        const reply: unknown = await execCommand(...args);
        const isJob = taking.has(args[1]) && Array.isArray(reply) && Array.isArray(reply[0]);
        return isJob ? reply.with(0, readableFields(reply[0])) : reply;
      },
      async getJobData(jobId: string) {
        try {
          const json = await getJobData(jobId);
          return json === undefined || isJson(json.data) ? json : { ...json, data: 'null' };
        } catch (error) {
          if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
          throw error;
        }
      },
    });
  };
}

/** What BullMQ parses beside the data, and what it makes of an absent value. */
const parsed: Readonly<Record<string, string>> = { opts: '{}', progress: '0', parent: '' };

function readableFields(fields: readonly string[]): string[] {
  return fields.map((value, i) => {
    const absent = i % 2 === 0 ? undefined : parsed[fields[i - 1] ?? ''];
    return absent === undefined || (isJson(value) && value !== 'null') ? value : absent;
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
