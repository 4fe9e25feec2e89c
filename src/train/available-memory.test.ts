// The tightest of a machine's bounds on memory, from the texts that Linux gives.
import { expect, test } from "vitest";
import { availableMemory } from "./available-memory.ts";

const GiB = 2 ** 30;
const from = (files: { [path: string]: string }) => availableMemory((path) => files[path], 64 * GiB);
const meminfo = "MemTotal:       33554432 kB\nMemFree:         1048576 kB\nMemAvailable:   16777216 kB\n";
const limits = (bytes: string) =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax address space         ${bytes}           unlimited            bytes     \n`;

test("without anything to read, all of the machine", () => {
  expect(from({})).toEqual({ bytes: 64 * GiB, by: "this machine" });
});

test("what other processes leave, not what is free: caches are given back", () => {
  expect(from({ "/proc/meminfo": meminfo })).toMatchObject({ bytes: 16 * GiB });
});

test("a limit on addresses, less those in use", () => {
  const status = "Name:\tnode\nVmPeak:\t 3145728 kB\nVmSize:\t 1048576 kB\n";
  const files = { "/proc/meminfo": meminfo, "/proc/self/status": status };
  const limited = from({ ...files, "/proc/self/limits": limits(`${4 * GiB}`) });
  expect(limited.bytes).toBe(3 * GiB);
  expect(limited.by).toContain("ulimit -v");
  expect(from({ ...files, "/proc/self/limits": limits("unlimited") }).bytes).toBe(16 * GiB);
  expect(from({ ...files, "/proc/self/limits": limits("1024") }).bytes).toBe(0);
});

test("control groups, version 2: the tightest on the way up, less what is in use and not cache", () => {
  const group = "/sys/fs/cgroup/user/job";
  const files = {
    "/proc/self/cgroup": "0::/user/job\n",
    [`${group}/memory.max`]: "max\n",
    [`${group}/memory.current`]: "1073741824\n",
    "/sys/fs/cgroup/user/memory.max": `${4 * GiB}\n`,
    "/sys/fs/cgroup/user/memory.current": `${3 * GiB}\n`,
    "/sys/fs/cgroup/user/memory.stat": `anon 1\nfile 2\ninactive_file ${GiB}\nactive_file 7\n`,
  };
  expect(from(files)).toEqual({ bytes: 2 * GiB, by: expect.stringContaining("control group") });
  expect(from({ ...files, [`${group}/memory.max`]: `${1.5 * GiB}\n` }).bytes).toBe(GiB / 2);
});

test("control groups, version 1: the controller of memory alone, up to the root", () => {
  const root = "/sys/fs/cgroup/memory";
  expect(
    from({
      "/proc/self/cgroup": "11:cpu,cpuacct:/job\n9:hugetlb,memory:/docker/job\n0::/\n",
      [`${root}/docker/job/memory.limit_in_bytes`]: "9223372036854771712\n",
      [`${root}/docker/job/memory.usage_in_bytes`]: "4096\n",
      [`${root}/memory.limit_in_bytes`]: `${8 * GiB}\n`,
      [`${root}/memory.usage_in_bytes`]: `${2 * GiB}\n`,
      [`${root}/memory.stat`]: "inactive_file 5\ntotal_inactive_file 4096\n",
      "/sys/fs/cgroup/memory.max": "1\n",
    }),
  ).toMatchObject({ bytes: 6 * GiB + 4096 });
});
