/// One task of a graph; an update replaces its work.
final class Node {
    var work: Task.Work
    init(_ work: Task.Work) { self.work = work }
}

/// Tasks that one call runs again, in the order in which they were captured.
final class Graph {
    let nodes: [Node]
    let device: Device
    /// Streams that it holds on the device.
    let streams: Int
    /// Replays under way.
    var running = 0

    init(_ capture: Capture) {
        nodes = capture.nodes
        device = capture.origin.device
        streams = capture.streams.count
    }
}

/// Tasks of a graph between TaskGrpBegin and TaskGrpEnd.
final class TaskGroup {
    var nodes: [Node] = []
}

/// A recording under way.
final class Capture {
    let origin: Stream
    let mode: UInt32
    let thread: ThreadState
    private(set) var nodes: [Node] = []
    /// The streams that take part, with how many tasks each has put in and how many of them others have waited for.
    private(set) var streams: [ObjectIdentifier: (stream: Stream, tasks: Int, joined: Int)] = [:]
    /// What ruined it.
    var invalidation: Failure?

    init(_ origin: Stream, mode: UInt32, thread: ThreadState) {
        self.origin = origin
        self.mode = mode
        self.thread = thread
        streams[ObjectIdentifier(origin)] = (origin, 0, 0)
    }

    func add(_ work: Task.Work, on stream: Stream) throws(Failure) {
        switch work {
        case .replay, .update: throw Failure(107027, "a graph cannot be replayed or updated on a stream that captures")
        case .kernel, .record, .wait, .reset, .host, .collective: break
        }
        let node = Node(work)
        if let group = stream.group {
            guard case .kernel(let kernel) = work, kernel.name.hasPrefix("aclnn") else {
                throw Failure(507009, "only operators can be in a task group")
            }
            group.nodes.append(node)
        }
        nodes.append(node)
        streams[ObjectIdentifier(stream)]?.tasks += 1
    }

    /// A stream of this capture records an event.
    func record(_ event: Event, on stream: Stream) {
        event.capture = self
        event.captured = stream
        event.position = streams[ObjectIdentifier(stream)]?.tasks ?? 0
    }

    /// A stream waits for an event of this capture, and takes part from now on.
    func join(_ stream: Stream, after event: Event) {
        if streams[ObjectIdentifier(stream)] == nil {
            streams[ObjectIdentifier(stream)] = (stream, 0, 0)
            stream.capture = self
        }
        if let other = event.captured, let entry = streams[ObjectIdentifier(other)] {
            streams[ObjectIdentifier(other)]?.joined = max(entry.joined, event.position)
        }
    }

    /// A stream whose work nobody waits for, which would run past the end of the graph.
    var hasUnjoined: Bool {
        streams.values.contains { $0.stream !== origin && ($0.tasks == 0 || $0.joined < $0.tasks) }
    }

    /// The streams go on as usual.
    func release() {
        for entry in streams.values {
            entry.stream.capture = nil
            entry.stream.group = nil
        }
        if mode == 0 { world.globalCaptures -= 1 }
        if mode == 1 { thread.localCaptures -= 1 }
    }
}
