import { readModel } from "/tmp/w/wt/many-hfuse/src/model/read.js";
import { openCpu } from "/tmp/w/wt/many-hfuse/src/runtime/cpu.js";
import { loadWithValues } from "/tmp/w/wt/many-hfuse/src/runtime/load.js";
import { initialValues } from "/tmp/w/wt/many-hfuse/src/step/initial.js";
import { stepFor } from "/tmp/w/wt/many-hfuse/src/step/step.js";
import { fuseTrials } from "/tmp/w/wt/many-hfuse/src/step/fused-trials.js";
import { valuesOf, bytesOf } from "/tmp/w/wt/many-hfuse/src/graph/values.js";
import { printGraph } from "/tmp/w/wt/many-hfuse/src/build/text.js";
import { tensorOf } from "/tmp/w/wt/many-hfuse/src/graph/graph.js";
const runtime = openCpu({threads:1});
const [file, loss="ce", optimizer="sgd:lr=0.05", dims="{}", show] = process.argv.slice(2);
const N = 3;
const graph = readModel(`/tmp/w/wt/many-hfuse/test/fixtures/${file}`, { dims: JSON.parse(dims), runtime }).graph;
const members = Array.from({length:N},(_, i)=>({name:`m${i}`, graph, options:{loss, optimizer: optimizer.split("|")[i % optimizer.split("|").length] as string, ...JSON.parse(process.env.OPT ?? "{}")}, seed: 10+i}));
const runs=[]; const firsts=[];
for (const m of members){
  const {step, baseline}=stepFor(runtime,m.graph,m.options,m.seed);
  const values=new Map(initialValues(baseline,step,m.seed));
  // other weights for each
  for (const [n,v] of values) { const t=tensorOf(baseline,n); if (t.category==="parameter"&&t.dtype==="float32") values.set(n, bytesOf("float32", valuesOf("float32",v).map((x,k)=>x*(1+0.1*Math.sin(k+m.seed))))); }
  firsts.push(values);
  const {step: loaded}=loadWithValues(baseline,runtime,values);
  const losses=[]; 
  for (let s=0;s<5;s++){ await loaded.run(); losses.push(valuesOf(tensorOf(baseline, baseline.loss as string).dtype,loaded.read(baseline.loss as string))[0]); }
  const t0=process.cpuUsage(); for(let s=0;s<20;s++) await loaded.run(); const c=process.cpuUsage(t0); 
  runs.push({baseline,loaded,losses,ms:(c.user+c.system)/20000});
}
const f=fuseTrials(runtime,members);
console.log("nodes alone",runs[0]!.baseline.nodes.length,"fused",f.baseline.nodes.length,"side by side",JSON.stringify(f.sideBySide));
if (show) console.log(printGraph(f.step).slice(0,9000));
const values=new Map(initialValues(f.baseline,f.step,0));
for (const [n] of values){ const t=tensorOf(f.baseline,n); if (t.category==="optimizer state") continue; const parts=firsts.map(v=>v.get(n)); if (parts.some(p=>!p)) {console.log("missing",n); continue;} const whole=Buffer.concat(parts as Uint8Array[]); if (whole.length!==values.get(n)!.length) console.log("length",n,whole.length,values.get(n)!.length); values.set(n,new Uint8Array(whole)); }
const {step: loaded, arenaBytes}=loadWithValues(f.baseline,runtime,values);
const losses=[];
for (let s=0;s<5;s++){ await loaded.run(); losses.push(valuesOf(tensorOf(f.baseline,"losses").dtype,loaded.read("losses"))); }
const t0=process.cpuUsage(); for(let s=0;s<20;s++) await loaded.run(); const c=process.cpuUsage(t0);
for (let i=0;i<N;i++) { const a=runs[i]!.losses as number[]; const b=losses.map(l=>l[i] as number); console.log(`m${i}`,a.map((x,s)=>x===b[s]?"=":(Math.abs(x-b[s]!)/Math.abs(x)).toExponential(1)).join(" "), a.at(-1), b.at(-1)); }
let worst=0, equal=true; 
for (const t of f.baseline.tensors.values()) if (t.category==="parameter"&&t.within) { const n=t.name; const whole=loaded.read(n); for(let i=0;i<N;i++){ const own=runs[i]!.loaded.read(n); const part=whole.subarray(i*own.length,(i+1)*own.length); if (Buffer.compare(own,part)) equal=false; const A=valuesOf(t.dtype,own),B=valuesOf(t.dtype,part); const d=Math.hypot(...A.map((x,k)=>x-B[k]!))/Math.max(1e-9,Math.hypot(...A)); worst=Math.max(worst,d);} }
console.log("parameters", equal?"bits equal":worst);
console.log("cpu ms one after another", runs.reduce((s,r)=>s+r.ms,0).toFixed(2),"fused",((c.user+c.system)/20000).toFixed(2));
process.exit(0);
