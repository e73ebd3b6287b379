//! Launch files for a planned layout: a Slurm batch script, or a Kubernetes job with its service. Both
//! start one task a GPU and hand the layout on as environment variables, with Megatron-LM's names of
//! arguments as the command's default.

use crate::plan::Plan;

/// Slurm's and Kubernetes' name of a GPU kind: its lower-case letters and digits before a dash.
fn kind(p: &Plan) -> String {
    let name = p.found.best.run.cluster.gpu.name.to_lowercase();
    name.split('-').next().unwrap_or("gpu").to_owned()
}

/// The layout as Megatron-LM's arguments.
fn arguments(p: &Plan) -> String {
    let run = &p.found.best.run;
    let l = &run.layout;
    let m = &run.model;
    let mut a = vec![
        format!("--tensor-model-parallel-size {}", l.tp),
        format!("--pipeline-model-parallel-size {}", l.pp),
        format!("--micro-batch-size {}", l.micro_batch),
        format!("--global-batch-size {}", run.global_batch),
        format!("--seq-length {}", run.seq),
        format!("--num-layers {}", m.num_hidden_layers),
        format!("--hidden-size {}", m.hidden_size),
        format!("--num-attention-heads {}", m.num_attention_heads),
    ];
    if l.tp > 1 {
        a.push("--sequence-parallel".to_owned());
    }
    if l.cp > 1 {
        a.push(format!("--context-parallel-size {}", l.cp));
    }
    if l.vpp > 1 {
        let layers = m.num_hidden_layers / (l.pp * l.vpp).max(1);
        a.push(format!(
            "--num-layers-per-virtual-pipeline-stage {}",
            layers.max(1)
        ));
    }
    if m.is_moe() {
        a.push(format!("--num-experts {}", m.num_experts));
        a.push(format!("--moe-router-topk {}", m.num_experts_per_tok));
        a.push(format!("--expert-model-parallel-size {}", l.ep));
    }
    if l.sharding.shards_weights() {
        a.push("--use-torch-fsdp2".to_owned());
    } else {
        a.push("--use-distributed-optimizer".to_owned());
    }
    a.join(" ")
}

/// Nodes that the layout takes.
pub fn nodes(p: &Plan) -> u64 {
    let run = &p.found.best.run;
    run.layout
        .gpus()
        .div_ceil(u64::from(run.cluster.gpus_per_node.max(1)))
}

/// A Slurm batch script.
pub fn slurm(p: &Plan) -> String {
    let run = &p.found.best.run;
    let n = nodes(p);
    let tasks = u64::from(run.cluster.gpus_per_node).min(run.layout.gpus());
    format!(
        "#!/bin/bash
# {model} on {gpus} {gpu}: {layout}
# Expected: {days:.1} days, a checkpoint every {interval:.0} s.
#SBATCH --job-name={job}
#SBATCH --nodes={n}
#SBATCH --ntasks-per-node={tasks}
#SBATCH --gres=gpu:{kind}:{tasks}
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
#SBATCH --signal=TERM@300

set -euo pipefail
MASTER_ADDR=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)
export MASTER_ADDR MASTER_PORT=29500
export NCCL_DEBUG=WARN CUDA_DEVICE_MAX_CONNECTIONS=1
export CHECKPOINT_INTERVAL_STEPS={steps}
LAYOUT=\"{arguments}\"

# TRAIN is the program that each task runs; it finds its rank in SLURM_PROCID and SLURM_LOCALID.
srun --kill-on-bad-exit=1 ${{TRAIN:-python pretrain_gpt.py}} $LAYOUT \"$@\"
",
        model = p.model,
        gpus = run.layout.gpus(),
        gpu = run.cluster.gpu.name,
        layout = crate::plan::layout_words(&p.found.best),
        days = p.days,
        interval = p.upkeep.interval_s,
        job = job(p),
        kind = kind(p),
        steps = (p.upkeep.interval_s / p.found.best.step.total_s)
            .round()
            .max(1.0),
        arguments = arguments(p),
    )
}

/// A name that both schedulers take: lower-case letters, digits and dashes.
fn job(p: &Plan) -> String {
    let plain: String = p
        .model
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let trimmed = plain.trim_matches('-');
    format!(
        "train-{}",
        if trimmed.is_empty() { "model" } else { trimmed }
    )
}

/// A Kubernetes service and job, one pod a node.
pub fn kubernetes(p: &Plan) -> String {
    let run = &p.found.best.run;
    let n = nodes(p);
    let per_node = u64::from(run.cluster.gpus_per_node).min(run.layout.gpus());
    format!(
        "# {model} on {gpus} {gpu}: {layout}
apiVersion: v1
kind: Service
metadata:
  name: {job}
spec:
  clusterIP: None
  selector:
    job-name: {job}
  ports:
    - name: rendezvous
      port: 29500
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {job}
spec:
  completionMode: Indexed
  completions: {n}
  parallelism: {n}
  backoffLimitPerIndex: 100
  maxFailedIndexes: {n}
  podReplacementPolicy: Failed
  template:
    metadata:
      labels:
        job-name: {job}
    spec:
      subdomain: {job}
      restartPolicy: Never
      containers:
        - name: train
          image: registry.example.org/train:latest
          command: [\"torchrun\"]
          args:
            - --nnodes={n}
            - --nproc-per-node={per_node}
            - --node-rank=$(JOB_COMPLETION_INDEX)
            - --master-addr={job}-0.{job}
            - --master-port=29500
            - pretrain_gpt.py
{arguments}
          env:
            - name: JOB_COMPLETION_INDEX
              valueFrom:
                fieldRef:
                  fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
          resources:
            limits:
              nvidia.com/gpu: {per_node}
          volumeMounts:
            - name: shm
              mountPath: /dev/shm
      volumes:
        - name: shm
          emptyDir:
            medium: Memory
",
        model = p.model,
        gpus = run.layout.gpus(),
        gpu = run.cluster.gpu.name,
        layout = crate::plan::layout_words(&p.found.best),
        job = job(p),
        arguments = arguments(p)
            .split(' ')
            .map(|a| format!("            - \"{a}\""))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}
