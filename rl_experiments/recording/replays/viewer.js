"use strict";
// Draws the poses of an episode with the plain canvas of any browser: shapes sorted by depth, the farthest first.
(() => {
  const data = JSON.parse(document.getElementById("replay").textContent);
  const { scene, episodes } = data;
  const PER_BODY = 7, NEAR = 0.05, LIGHT = unit([0.4, -0.5, 0.8]);

  for (const episode of episodes) {
    episode.poses = floats(episode.poses);
    episode.rewards = floats(episode.rewards);
    episode.sums = [0];
    for (const reward of episode.rewards) episode.sums.push(episode.sums[episode.sums.length - 1] + reward);
  }
  for (const shape of scene.shapes) if (shape.kind === "mesh") {
    shape.vertices = chunks(floats(shape.vertices), 3);
    shape.faces = chunks(integers(shape.faces), 3);
  }

  // --- numbers ---
  function bytes(text) { return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer; }
  function floats(text) { return new Float32Array(bytes(text)); }
  function integers(text) { return new Int32Array(bytes(text)); }
  function chunks(list, size) {
    const rows = [];
    for (let i = 0; i < list.length; i += size) rows.push(Array.from(list.subarray(i, i + size)));
    return rows;
  }
  function add(a, b) { return [a[0] + b[0], a[1] + b[1], a[2] + b[2]]; }
  function sub(a, b) { return [a[0] - b[0], a[1] - b[1], a[2] - b[2]]; }
  function scale(a, s) { return [a[0] * s, a[1] * s, a[2] * s]; }
  function dot(a, b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
  function cross(a, b) { return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]; }
  function unit(a) { const n = Math.hypot(...a) || 1; return scale(a, 1 / n); }
  function turn(q, v) {
    const u = [q[1], q[2], q[3]], t = scale(cross(u, v), 2);
    return add(add(v, scale(t, q[0])), cross(u, t));
  }
  function times(a, b) {
    const [w, x, y, z] = a, [v, i, j, k] = b;
    return [w * v - x * i - y * j - z * k, w * i + x * v + y * k - z * j, w * j - x * k + y * v + z * i, w * k + x * j - y * i + z * v];
  }

  // --- poses ---
  function body(episode, frame, index) {
    if (index < 0) return { p: [0, 0, 0], q: [1, 0, 0, 0] };
    const at = (frame * scene.bodies.length + index) * PER_BODY, pose = episode.poses;
    return { p: [pose[at], pose[at + 1], pose[at + 2]], q: [pose[at + 3], pose[at + 4], pose[at + 5], pose[at + 6]] };
  }
  function placed(episode, frame, shape) {
    const { p, q } = body(episode, frame, shape.body);
    return { p: add(p, turn(q, shape.position)), q: times(q, shape.rotation) };
  }
  function reach(shape) {
    if (shape.kind === "mesh") return Math.max(...shape.vertices.map((v) => Math.hypot(...v)));
    return shape.kind === "capsule" ? shape.size[0] + shape.size[1] : Math.hypot(...shape.size);
  }
  const solid = scene.shapes.filter((shape) => shape.kind !== "plane");
  const floor = scene.shapes.find((shape) => shape.kind === "plane");
  function extent() {
    let low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    const moving = solid.filter((shape) => shape.body >= 0);
    for (const shape of moving.length ? moving : solid) {
      const { p } = placed(episodes[0], 0, shape), r = reach(shape);
      low = low.map((v, i) => Math.min(v, p[i] - r));
      high = high.map((v, i) => Math.max(v, p[i] + r));
    }
    if (low[0] === Infinity) return { centre: [0, 0, 0], radius: 1 };
    return { centre: scale(add(low, high), 0.5), radius: Math.hypot(...sub(high, low)) / 2 || 1 };
  }
  const { centre, radius } = extent();

  // --- camera ---
  const view = { azimuth: -1.0, elevation: 0.32, distance: Math.max(3.1 * radius, 0.5) };
  function camera(episode, frame, canvas) {
    const look = centre.slice();
    if (scene.target >= 0) {  // it follows what walks, at its own height
      const start = body(episode, 0, scene.target).p, now = body(episode, frame, scene.target).p;
      look[0] += now[0] - start[0];
      look[1] += now[1] - start[1];
    }
    const { azimuth, elevation, distance } = view;
    const back = [Math.cos(elevation) * Math.cos(azimuth), Math.cos(elevation) * Math.sin(azimuth), Math.sin(elevation)];
    const from = add(look, scale(back, distance)), forward = scale(back, -1);
    const right = unit(cross(forward, [0, 0, 1])), up = cross(right, forward), focus = canvas.height * 1.2;
    return {
      look, from,
      project(p) {
        const d = sub(p, from), depth = dot(d, forward);
        if (depth < NEAR) return null;
        const size = focus / depth;
        return { x: canvas.width / 2 + dot(d, right) * size, y: canvas.height / 2 - dot(d, up) * size, size, depth };
      },
    };
  }

  // --- drawing ---
  function shade(color, light) {
    const parts = color.slice(0, 3).map((part) => Math.round(255 * Math.min(1, part * light)));
    return `rgba(${parts.join(",")},${color[3]})`;
  }
  function polygon(ctx, corners, fill) {
    ctx.beginPath();
    corners.forEach((c, i) => (i ? ctx.lineTo(c.x, c.y) : ctx.moveTo(c.x, c.y)));
    ctx.closePath();
    ctx.fillStyle = fill;
    ctx.fill();
  }
  function ground(ctx, cam, few) {
    const height = floor ? floor.position[2] : null;
    if (height === null) return;
    const tile = radius > 0.8 ? 1 : 0.25, count = few ? 8 : 16;
    const x0 = Math.floor(cam.look[0] / tile), y0 = Math.floor(cam.look[1] / tile);
    for (let i = -count; i < count; i++) for (let j = -count; j < count; j++) {
      const x = (x0 + i) * tile, y = (y0 + j) * tile;
      const corners = [[x, y], [x + tile, y], [x + tile, y + tile], [x, y + tile]].map(([a, b]) => cam.project([a, b, height]));
      if (corners.some((c) => c === null)) continue;
      const fade = 1 - Math.min(1, Math.hypot(i + 0.5, j + 0.5) / count), dark = (x0 + i + y0 + j) & 1;
      if (fade > 0) polygon(ctx, corners, dark ? `rgba(104,128,152,${fade})` : `rgba(150,172,192,${fade})`);
    }
  }
  function circle(ctx, at, r, color, light) {
    const glow = ctx.createRadialGradient(at.x - r * 0.35, at.y - r * 0.45, r * 0.1, at.x, at.y, r);
    glow.addColorStop(0, shade(color, 1.35 * light));
    glow.addColorStop(1, shade(color, 0.7 * light));
    ctx.fillStyle = glow;
    ctx.beginPath();
    ctx.arc(at.x, at.y, r, 0, 2 * Math.PI);
    ctx.fill();
  }
  function line(ctx, a, b, width, style, cap) {
    ctx.strokeStyle = style;
    ctx.lineWidth = width;
    ctx.lineCap = cap || "round";
    ctx.beginPath();
    ctx.moveTo(a.x, a.y);
    ctx.lineTo(b.x, b.y);
    ctx.stroke();
  }
  const BOX = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]];
  function faces(shape) {
    const [a, b, c] = shape.size;
    if (shape.kind === "box") {
      const corners = [];
      for (const x of [-a, a]) for (const y of [-b, b]) for (const z of [-c, c]) corners.push([x, y, z]);
      return BOX.map((face) => face.map((i) => corners[i]));
    }
    if (shape.kind === "cylinder") {
      const ring = (z) => Array.from({ length: 16 }, (_, i) => [a * Math.cos((i * Math.PI) / 8), a * Math.sin((i * Math.PI) / 8), z]);
      const low = ring(-b), high = ring(b);
      return [high, low.slice().reverse(), ...low.map((p, i) => [p, low[(i + 1) % 16], high[(i + 1) % 16], high[i]])];
    }
    return shape.faces.map((face) => face.map((i) => shape.vertices[i]));
  }
  for (const shape of solid) if (["box", "cylinder", "mesh"].includes(shape.kind)) shape.polygons = faces(shape);

  function collect(cam, episode, frame) {
    const parts = [];
    for (const shape of solid) {
      const { p, q } = placed(episode, frame, shape);
      if (shape.kind === "capsule") {
        const axis = turn(q, [0, 0, shape.size[1]]), a = cam.project(sub(p, axis)), b = cam.project(add(p, axis)), m = cam.project(p);
        if (a && b && m) parts.push({ depth: m.depth, draw: (ctx) => capsule(ctx, shape, a, b, m) });
      } else if (shape.kind === "sphere" || shape.kind === "ellipsoid") {
        const m = cam.project(p);
        if (m) parts.push({ depth: m.depth, draw: (ctx) => circle(ctx, m, Math.max(shape.size[0] * m.size, 0.5), shape.color, 1) });
      } else for (const face of shape.polygons) {
        const world = face.map((v) => add(p, turn(q, v))), corners = world.map(cam.project);
        if (corners.some((c) => c === null)) continue;
        const normal = unit(cross(sub(world[1], world[0]), sub(world[2], world[0])));
        if (dot(normal, sub(cam.from, world[0])) < 0) continue;
        const depth = corners.reduce((sum, c) => sum + c.depth, 0) / corners.length;
        const fill = shade(shape.color, 0.75 + 0.45 * Math.max(0, dot(normal, LIGHT)));
        parts.push({ depth, draw: (ctx) => polygon(ctx, corners, fill) });
      }
    }
    return parts.sort((one, other) => other.depth - one.depth);
  }
  function capsule(ctx, shape, a, b, m) {
    const width = 2 * shape.size[0] * m.size;
    line(ctx, a, b, width, shade(shape.color, 0.75));
    const up = { x: -width * 0.12, y: -width * 0.14 };
    line(ctx, { x: a.x + up.x, y: a.y + up.y }, { x: b.x + up.x, y: b.y + up.y }, width * 0.5, shade(shape.color, 1.15));
  }
  function shadows(ctx, cam, episode, frame) {
    if (!floor) return;
    const down = (p) => cam.project([p[0], p[1], floor.position[2]]);
    for (const shape of solid) {
      if (shape.body < 0) continue;
      const { p, q } = placed(episode, frame, shape);
      const axis = shape.kind === "capsule" ? turn(q, [0, 0, shape.size[1]]) : [1e-3, 0, 0];
      const a = down(sub(p, axis)), b = down(add(p, axis)), r = shape.kind === "mesh" ? reach(shape) / 2 : shape.size[0];
      if (a && b) line(ctx, a, b, Math.max(1, 2 * r * a.size * 0.8), "rgba(10,20,30,0.16)");
    }
  }
  function draw(canvas, episode, frame, few) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (width && height && (canvas.width !== width || canvas.height !== height)) { canvas.width = width; canvas.height = height; }
    const ctx = canvas.getContext("2d"), sky = ctx.createLinearGradient(0, 0, 0, canvas.height);
    sky.addColorStop(0, "#dfe9f2");
    sky.addColorStop(1, "#b7c8d8");
    ctx.fillStyle = sky;
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    const cam = camera(episode, frame, canvas);
    ground(ctx, cam, few);
    shadows(ctx, cam, episode, frame);
    for (const part of collect(cam, episode, frame)) part.draw(ctx);
  }

  // --- playing ---
  const $ = (id) => document.getElementById(id);
  const longest = Math.max(...episodes.map((episode) => episode.n_frames));
  const state = { frame: 0, chosen: episodes.length - 1, playing: false, speed: 1, drawn: 0, ready: false };
  window.replay = state;
  const tiles = [];
  const lasts = (episode) => episode.n_frames - 1;
  function end() { return episodes.length > 1 ? longest - 1 : lasts(episodes[0]); }
  function text(episode, frame) {
    const over = frame >= lasts(episode), ending = over ? (episode.done ? ", done" : ", cut off") : "";
    const clock = (frame * scene.seconds).toFixed(2);
    return `step ${frame} of ${lasts(episode)}, ${clock} s, return ${episode.sums[frame].toFixed(2)}${ending}`;
  }
  function show() {
    const episode = episodes[state.chosen], frame = Math.min(Math.floor(state.frame), lasts(episode));
    draw($("main"), episode, frame, false);
    $("time").value = Math.floor(state.frame);
    $("where").textContent = (episodes.length > 1 ? `${episode.label}: ` : "") + text(episode, frame);
    tiles.forEach(({ canvas, figure }, i) => {
      draw(canvas, episodes[i], Math.min(Math.floor(state.frame), lasts(episodes[i])), true);
      figure.className = i === state.chosen ? "chosen" : "";
    });
    $("play").textContent = state.playing ? "Pause" : state.frame >= end() ? "Again" : "Play";
    state.drawn++;
  }
  let before = null;
  function tick(now) {
    if (!state.playing) { before = null; return; }
    if (before !== null) state.frame += ((now - before) / 1000 / scene.seconds) * state.speed;
    before = now;
    if (state.frame >= end()) { state.frame = end(); state.playing = false; before = null; }
    show();
    if (state.playing) requestAnimationFrame(tick);
  }
  function play(on) {
    if (on && state.frame >= end()) state.frame = 0;
    const begins = on && !state.playing;
    state.playing = on;
    show();
    if (begins) requestAnimationFrame(tick);
  }
  function choose(index) { state.chosen = index; $("training").value = index; show(); }
  $("play").onclick = () => play(!state.playing);
  $("time").max = end();
  $("time").oninput = (event) => { state.frame = Number(event.target.value); state.playing = false; show(); };
  $("speed").onchange = (event) => { state.speed = Number(event.target.value); };
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.tagName !== "BUTTON") { event.preventDefault(); play(!state.playing); }
    if (event.target.tagName === "INPUT") return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { state.playing = false; state.frame = Math.max(0, Math.min(end(), Math.floor(state.frame) + step)); show(); }
  });
  if (episodes.length > 1) {
    $("over").hidden = false;
    $("training").max = episodes.length - 1;
    $("training").value = state.chosen;
    $("training").oninput = (event) => choose(Number(event.target.value));
    episodes.forEach((episode, i) => {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
      caption.textContent = `${episode.label}: ${episode.sums[lasts(episode)].toFixed(1)}`;
      figure.append(canvas, caption);
      figure.onclick = () => choose(i);
      $("tiles").append(figure);
      tiles.push({ canvas, figure });
    });
  }
  let held = null;
  $("main").onpointerdown = (event) => { held = [event.clientX, event.clientY]; $("main").setPointerCapture(event.pointerId); };
  $("main").onpointerup = () => { held = null; };
  $("main").onpointermove = (event) => {
    if (!held) return;
    view.azimuth -= (event.clientX - held[0]) * 0.008;
    view.elevation = Math.max(0.02, Math.min(1.5, view.elevation + (event.clientY - held[1]) * 0.008));
    held = [event.clientX, event.clientY];
    show();
  };
  $("main").onwheel = (event) => {
    event.preventDefault();
    view.distance = Math.max(radius * 0.4, Math.min(radius * 40, view.distance * Math.exp(event.deltaY * 0.001)));
    show();
  };
  window.addEventListener("resize", show);
  show();
  state.ready = true;
  play(true);
})();
