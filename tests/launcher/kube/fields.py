"""Fields and types of the objects that wick submits, as their publishers state them.  What is not named here is refused.

Sources: batch/v1 and core/v1 of kubernetes/api; jobset.x-k8s.io/v1alpha2 of kubernetes-sigs/jobset (jobset_types.go);
kubeflow.org/v2beta1 of kubeflow/mpi-operator (types.go); batch.volcano.sh/v1alpha1 of volcano-sh/apis (job.go).

A type is str, int, bool; [x] a list of x; {"*": x} a map; {name: x} an object, whose names that end with ! are required;
a tuple holds the words that are allowed.
"""

WORDS = {"*": str}
METADATA = {"name": str, "generateName": str, "namespace": str, "labels": WORDS, "annotations": WORDS,
            "ownerReferences": [dict]}

ENV = [{"name!": str, "value": str,
        "valueFrom": {"fieldRef": {"fieldPath!": str, "apiVersion": str},
                      "secretKeyRef": {"name": str, "key!": str, "optional": bool}}}]
CONTAINER = {"name!": str, "image": str, "command": [str], "args": [str], "env": ENV,
             "ports": [{"name": str, "containerPort!": int, "protocol": str}],
             "resources": {"limits": WORDS, "requests": WORDS},
             "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}],
             "securityContext": {"privileged": bool, "runAsUser": int},
             "terminationMessagePolicy": ("File", "FallbackToLogsOnError")}
VOLUME = {"name!": str, "emptyDir": {"medium": str, "sizeLimit": str}, "hostPath": {"path!": str, "type": str},
          "persistentVolumeClaim": {"claimName!": str, "readOnly": bool}}
TEMPLATE = {"metadata": METADATA,
            "spec": {"containers!": [CONTAINER], "restartPolicy": ("Always", "OnFailure", "Never"),
                     "terminationGracePeriodSeconds": int, "subdomain": str, "hostname": str,
                     "serviceAccountName": str, "priorityClassName": str, "nodeSelector": WORDS, "volumes": [VOLUME],
                     "tolerations": [{"key": str, "operator": ("Exists", "Equal"), "value": str, "effect": str}]}}

JOB_SPEC = {"completionMode": ("Indexed", "NonIndexed"), "completions": int, "parallelism": int, "backoffLimit": int,
            "ttlSecondsAfterFinished": int, "suspend": bool, "template!": TEMPLATE}

OBJECTS = {
    ("v1", "Secret"): {"type": str, "stringData": WORDS, "data": WORDS},
    ("v1", "Service"): {"spec": {"clusterIP": str, "publishNotReadyAddresses": bool, "selector": WORDS}},
    ("batch/v1", "Job"): {"spec": JOB_SPEC},
    ("jobset.x-k8s.io/v1alpha2", "JobSet"): {"spec": {
        "replicatedJobs": [{"name!": str, "replicas": int, "template!": {"metadata": METADATA, "spec": JOB_SPEC}}],
        "network": {"enableDNSHostnames": bool, "subdomain": str, "publishNotReadyAddresses": bool},
        "failurePolicy": {"maxRestarts": int}, "suspend": bool, "ttlSecondsAfterFinished": int}},
    ("kubeflow.org/v2beta1", "MPIJob"): {"spec": {
        "slotsPerWorker": int, "sshAuthMountPath": str, "mpiImplementation": ("OpenMPI", "Intel", "MPICH"),
        "runPolicy": {"cleanPodPolicy": ("All", "Running", "None"), "ttlSecondsAfterFinished": int,
                      "activeDeadlineSeconds": int, "backoffLimit": int, "suspend": bool},
        "mpiReplicaSpecs!": {name: {"replicas": int, "restartPolicy": ("Never", "OnFailure"), "template!": TEMPLATE}
                             for name in ("Launcher", "Worker")}}},
    ("batch.volcano.sh/v1alpha1", "Job"): {"spec": {
        "schedulerName": str, "queue": str, "minAvailable": int, "maxRetry": int, "priorityClassName": str,
        "ttlSecondsAfterFinished": int, "plugins": {"env": [str], "svc": [str], "ssh": [str]},
        "tasks": [{"name": str, "replicas": int, "minAvailable": int, "maxRetry": int, "template": TEMPLATE,
                   "policies": [{"action": ("AbortJob", "RestartJob", "RestartTask", "TerminateJob", "CompleteJob"),
                                 "event": ("PodFailed", "PodEvicted", "TaskCompleted", "*")}]}]}},
    ("bus.volcano.sh/v1alpha1", "Command"): {"action": ("AbortJob", "ResumeJob"),
                                             "target": {"apiVersion!": str, "kind!": str, "name!": str, "uid!": str,
                                                        "controller": bool}},
}


def problem(value, kind, path):
    """The first thing that is not as stated, in the server's words; None if there is none."""
    if isinstance(kind, tuple):
        return None if value in kind else f"{path}: Unsupported value: {value!r}"
    if isinstance(kind, type):
        good = type(value) is kind
        return None if good else f"{path}: expected {kind.__name__}, got {value!r}"
    if isinstance(kind, list):
        if not isinstance(value, list):
            return f"{path}: expected a list"
        return next((p for i, v in enumerate(value) if (p := problem(v, kind[0], f"{path}[{i}]"))), None)
    if not isinstance(value, dict):
        return f"{path}: expected an object"
    if "*" in kind:
        return next((p for k, v in value.items() if (p := problem(v, kind["*"], f"{path}.{k}"))), None)
    known = {name.rstrip("!"): inner for name, inner in kind.items()}
    for name in kind:
        if name.endswith("!") and name[:-1] not in value:
            return f"{path}.{name[:-1]}: Required value"
    for name, inner in value.items():
        if name not in known:
            return f'strict decoding error: unknown field "{path}.{name}"'
        if (found := problem(inner, known[name], f"{path}.{name}".lstrip("."))):
            return found
    return None


def check(body):
    key = (body.get("apiVersion"), body.get("kind"))
    if key not in OBJECTS:
        return f"no kind {key[1]} in {key[0]}"
    return problem(body, dict(OBJECTS[key], **{"apiVersion!": str, "kind!": str, "metadata!": METADATA}), "")
