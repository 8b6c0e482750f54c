"""What the test cluster's controllers and its one node do: pods of an object, run as processes."""
import base64
import json
import os
import re
import signal
import subprocess
import threading
import time

import fields


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def expand(text, values):
    """$(NAME) and $$, as a kubelet replaces them in arguments and variables."""
    return re.sub(r"\$(\$|\(([^)]*)\)|)", lambda m: "$" if m.group(1) in ("$", "") else
                  values.get(m.group(2), "$" + m.group(1)), text)


class Pod:
    def __init__(self, owner, path, value, store, directory):
        self.owner, self.path, self.value, self.store, self.directory = owner, path, value, store, directory
        self.container = value["spec"]["containers"][0]
        self.lines, self.started, self.ended, self.code, self.process, self.deleted = [], False, False, None, None, False
        self.doomed = False
        store.put(path, value, "ADDED")
        self.state("Pending", {"waiting": {"reason": "ContainerCreating"}})

    def state(self, phase, state):
        def change(value):
            value["status"] = {"phase": phase, "containerStatuses": [{"name": self.container["name"], "restartCount": 0,
                                                                      "state": state}]}
        self.store.update(self.path, change)

    def field(self, path):
        found = re.fullmatch(r"metadata\.(annotations|labels)\['(.*)'\]", path)
        if found:
            return self.value["metadata"].get(found.group(1), {}).get(found.group(2), "")
        return {"metadata.name": self.value["metadata"]["name"], "status.podIP": "10.1.2.3"}[path]

    def secret(self, reference):
        folder = "/api/v1/namespaces/%s/secrets/" % self.value["metadata"]["namespace"]
        return base64.b64decode(self.store.objects[folder + reference["name"]]["data"][reference["key"]]).decode()

    def environment(self):
        values = {}
        for item in self.container.get("env", []):
            source = item.get("valueFrom", {})
            if "fieldRef" in source:
                values[item["name"]] = self.field(source["fieldRef"]["fieldPath"])
            elif "secretKeyRef" in source:
                values[item["name"]] = self.secret(source["secretKeyRef"])
            else:
                values[item["name"]] = expand(item.get("value", ""), values)
        return values

    def run(self):
        if self.container["image"].startswith("missing"):
            why = {"reason": "ErrImagePull", "message": "no such image: " + self.container["image"]}
            return self.state("Pending", {"waiting": why})
        message = os.path.join(self.directory, self.value["metadata"]["name"] + ".message")
        values = self.environment()
        begin = now()
        inside = dict(values, TORCHELASTIC_ERROR_FILE=message, PATH=os.environ["PATH"])
        command = [expand(word, values) for word in self.container["command"]]
        try:
            self.process = subprocess.Popen([os.fsencode(w) for w in command], env=inside, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            why = {"exitCode": 128, "reason": "StartError", "message": str(error), "startedAt": begin, "finishedAt": now()}
            self.started, self.ended, self.code = True, True, 128
            return self.state("Failed", {"terminated": why})
        self.started = True
        self.state("Running", {"running": {"startedAt": begin}})
        for line in self.process.stdout:
            stamp = time.time()
            fraction = ("%.9f" % (stamp % 1))[1:].rstrip("0").rstrip(".") # as many digits as it needs
            self.lines.append((time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp)) + fraction + "Z", line))
            time.sleep(0.0001)
        code = self.process.wait()
        self.finish(code if code >= 0 else 128 - code, begin, message)
        return None

    def finish(self, code, begin, message):
        text = open(message).read() if os.path.exists(message) else ""
        if code and not text:
            text = b"".join(line for _, line in self.lines)[-2048:].decode(errors="replace")
        why = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": begin, "finishedAt": now()}
        self.code, self.ended = code, True
        self.state("Failed" if code else "Succeeded", {"terminated": dict(why, message=text) if text else why})

    def end(self):
        """What deleting a pod does."""
        self.doomed = True
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


class Controllers:
    def __init__(self, store, directory):
        self.store, self.directory, self.pods, self.owners = store, directory, {}, {}

    # ---- what the API server refuses

    def check(self, body):
        if body["kind"] == "Job" and body["apiVersion"] == "batch/v1":
            spec = body["spec"]
            longest = "%s-%d" % (body["metadata"]["name"], max(0, spec.get("completions", 1) - 1))
            if len(longest) > 63:
                return "metadata.name: Invalid value: must be no more than 63 characters"
            if spec["template"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
                return "spec.template.spec.restartPolicy: Required value"
        return fields.check(body)

    # ---- what is made of an object: (name, labels, annotations, template) of each pod

    def wanted(self, value):
        name, spec = value["metadata"]["name"], value["spec"]
        if value["apiVersion"] == "batch/v1":
            return self.of_job(name, spec)
        if value["kind"] == "JobSet":
            return [pod for job in spec["replicatedJobs"]
                    for pod in self.of_job(f'{name}-{job["name"]}-0', job["template"]["spec"])]
        if value["kind"] == "MPIJob":
            return [(f"{name}-launcher", {"training.kubeflow.org/job-role": "launcher"}, {},
                     spec["mpiReplicaSpecs"]["Launcher"]["template"])]
        return [(f'{name}-{task["name"]}-0', {}, {}, task["template"]) for task in spec["tasks"]]

    @staticmethod
    def of_job(name, spec):
        key = "batch.kubernetes.io/job-completion-index"
        return [(f"{name}-{k}-{os.urandom(3).hex()[:5]}", {}, {key: str(k)}, spec["template"])
                for k in range(spec["completions"])]

    def created(self, path, value):
        if value["kind"] in ("Job", "JobSet", "MPIJob"):
            self.owners[path] = {"failed": 0, "thread": None}
            threading.Thread(target=self.reconcile, args=(path,), daemon=True).start()
        elif value["kind"] == "Command":
            target = path.split("/apis/")[0] + "/apis/batch.volcano.sh/v1alpha1/namespaces/" + \
                value["metadata"]["namespace"] + "/jobs/" + value["target"]["name"]
            self.owners[target]["abort"] = True
            self.end_pods(target)

    def start(self, owner, value):
        pods = []
        for name, labels, annotations, template in self.wanted(value):
            metadata = json.loads(json.dumps(template["metadata"]))
            metadata.update(name=name, namespace=value["metadata"]["namespace"], uid=os.urandom(8).hex(),
                            creationTimestamp=now())
            metadata.setdefault("labels", {}).update(labels)
            metadata.setdefault("annotations", {}).update(annotations)
            if value["kind"] == "JobSet":
                metadata["labels"]["jobset.sigs.k8s.io/restart-attempt"] = str(self.owners[owner]["failed"])
            folder = "/api/v1/namespaces/%s/pods/" % metadata["namespace"]
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                   "spec": dict(json.loads(json.dumps(template["spec"])), nodeName="node-1")}
            self.pods[folder + name] = Pod(owner, folder + name, pod, self.store, self.directory)
            pods.append(self.pods[folder + name])
        time.sleep(0.1)
        for pod in pods:
            threading.Thread(target=pod.run, daemon=True).start()
        return pods

    def limit(self, value):
        spec = value["spec"]
        if value["kind"] == "JobSet":
            return spec["failurePolicy"]["maxRestarts"]
        if value["kind"] == "MPIJob":
            return spec["runPolicy"]["backoffLimit"]
        return spec.get("backoffLimit", spec.get("maxRetry", 0))

    def reconcile(self, path):
        """Until the object is over: pods, failures, restarts of all of them."""
        state = self.owners[path]
        while path in self.store.objects:
            value = self.store.objects[path]
            pods = self.start(path, value)
            while not all(p.ended or p.doomed for p in pods) and not any(p.code for p in pods):
                time.sleep(0.02)
            failed = [p for p in pods if p.code and not p.doomed]
            if state.get("abort") or state.get("suspended"):
                return self.report(path, "Suspended" if state.get("suspended") else "Aborted", "")
            self.end_pods(path)
            if not failed:
                return self.report(path, "Complete", "")
            state["failed"] += 1
            if state["failed"] > self.limit(value):
                return self.report(path, "Failed", "Job has reached the specified backoff limit")
            self.report(path, "Restarting", "")
            for pod in pods:
                self.store.remove(pod.path)
        return None

    def report(self, path, word, message):
        names = {"JobSet": {"Complete": "Completed"}, "MPIJob": {"Complete": "Succeeded"}}
        volcano = {"Complete": "Completed", "Failed": "Failed", "Aborted": "Aborted", "Restarting": "Restarting"}
        failed = self.owners[path]["failed"]
        def change(value):
            status = value.setdefault("status", {})
            if value["apiVersion"].startswith("batch.volcano"):
                status.update(state={"phase": volcano[word], "message": message}, retryCount=failed)
            elif word == "Restarting":
                status["restarts" if value["kind"] == "JobSet" else "failed"] = failed
            else:
                kind = names.get(value["kind"], {}).get(word, word)
                reason = "BackoffLimitExceeded" if word == "Failed" else ""
                status["conditions"] = [{"type": kind, "status": "True", "reason": reason, "message": message}]
                if value["kind"] == "Job":
                    status["failed"] = failed
        self.store.update(path, change)

    def end_pods(self, path, gone=False):
        for pod in list(self.pods.values()):
            if pod.owner == path and (gone or not pod.ended):
                pod.end()
                self.store.remove(pod.path)

    def patched(self, path):
        spec = self.store.objects[path].get("spec", {})
        if spec.get("suspend") or spec.get("runPolicy", {}).get("suspend"):
            self.owners[path]["suspended"] = True
            self.end_pods(path)

    def deleted(self, path, value):
        self.end_pods(path, gone=True)
        for other in list(self.store.objects):
            owners = self.store.objects[other]["metadata"].get("ownerReferences", [])
            if any(o["uid"] == value["metadata"]["uid"] for o in owners):
                self.store.remove(other)

    def stop(self):
        for pod in self.pods.values():
            if pod.process and pod.process.poll() is None:
                os.killpg(pod.process.pid, signal.SIGKILL)
