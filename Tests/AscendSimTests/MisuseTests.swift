import CAscend
import Glibc
import Testing

/// A mistake that a program may make, and the code that tells of it, at the call or when the stream is synchronised.
struct Misuse: CustomTestStringConvertible {
    let name: String
    let code: Int32
    let settings: [String: String]
    let commit: @Sendable (Machine) throws -> Void

    init(
        _ name: String, _ code: Int32, _ settings: [String: String] = [:],
        _ commit: @escaping @Sendable (Machine) throws -> Void
    ) {
        (self.name, self.code, self.settings, self.commit) = (name, code, settings, commit)
    }

    var testDescription: String { name }
}

extension SimulatorTests {
    @Suite struct MisuseTests {
        @Test(arguments: Misuse.ofTheRuntime + Misuse.ofMemory + Misuse.ofOperators + Misuse.ofGraphs)
        func isRefused(misuse: Misuse) throws {
            let machine = try Machine(misuse.settings)
            let failure = #expect(throws: CallFailure.self) { try misuse.commit(machine) }
            #expect(failure?.code == misuse.code, "\(failure?.message ?? "")")
            #expect(failure?.message.isEmpty == false)
        }

        @Test func callsBeforeInitAreRefused() throws {
            let machine = try Machine(isReady: false)
            #expect(throws: CallFailure.self) { try machine.check(machine.runtime.aclrtSetDevice(0)) }
            try machine.check(machine.runtime.aclInit(nil))
            try machine.check(machine.runtime.aclrtSetDevice(0))
        }

        @Test func thereAreAsManyAsPromised() {
            let all = Misuse.ofTheRuntime + Misuse.ofMemory + Misuse.ofOperators + Misuse.ofGraphs
            #expect(Set(all.map(\.name)).count == all.count)
            #expect(all.count >= 60)
        }
    }
}

/// Runs a call on a thread of its own, where no device is set.
func elsewhere(_ machine: Machine, _ body: @escaping (Machine) -> Int32) throws {
    final class Box: @unchecked Sendable {  // The starting thread waits for the other one.
        let body: () -> Int32
        var code: Int32 = 0
        init(_ body: @escaping () -> Int32) { self.body = body }
    }
    let box = Box { body(machine) }
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            let box = Unmanaged<Box>.fromOpaque(argument).takeUnretainedValue()
            box.code = box.body()
            return nil
        }, Unmanaged.passUnretained(box).toOpaque())
    pthread_join(thread, nil)
    if box.code != 0 { throw CallFailure(code: box.code, message: "on another thread") }
}

extension Misuse {
    static let ofTheRuntime: [Misuse] = [
        Misuse("initialising twice", 100002) { try $0.check($0.runtime.aclInit(nil)) },
        Misuse("a device that is not there", 107001) { try $0.check($0.runtime.aclrtSetDevice(8)) },
        Misuse("allocating on a thread without device", 107002) { machine in
            try elsewhere(machine) { machine in
                var pointer: UnsafeMutableRawPointer?
                return machine.runtime.aclrtMalloc(&pointer, 64, ACL_MEM_MALLOC_HUGE_FIRST)
            }
        },
        Misuse("launching on a thread without device", 107002) { machine in
            try elsewhere(machine) { $0.runtime.aclrtSynchronizeStream($0.stream) }
        },
        Misuse("a stream of another context", 107003) { machine in
            try machine.check(machine.runtime.aclrtSetDevice(1))
            try machine.check(machine.runtime.aclrtSynchronizeStream(machine.stream))
        },
        Misuse("a stream that was destroyed", 107017) { machine in
            try machine.check(machine.runtime.aclrtDestroyStream(machine.stream))
            try machine.synchronize()
        },
        Misuse("an event as a stream", 107017) { machine in
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtSynchronizeStream(event))
        },
        Misuse("too many streams", 207008, ["SOC": "Ascend310P3"]) { machine in
            var stream: aclrtStream?
            for _ in 0..<1024 { try machine.check(machine.runtime.aclrtCreateStream(&stream)) }
        },
        Misuse("too many events", 207007, ["SOC": "Ascend310P3"]) { machine in
            var event: aclrtEvent?
            for _ in 0..<1024 { try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&event, 1)) }
        },
        Misuse("an event of no known flag", 107000) { machine in
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, 0x100))
        },
        Misuse("a stream waiting for an event made for timing", 107000) { machine in
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&event, UInt32(ACL_EVENT_TIME_LINE)))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
        },
        Misuse("resetting an event that is recorded again", 107000) { machine in
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtResetEvent(event, machine.stream))
        },
        Misuse("the time between events that keep none", 107000) { machine in
            var event: aclrtEvent?
            var time: Float = 0
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtEventElapsedTime(&time, event, event))
        },
        Misuse("an event that was destroyed", 107017) { machine in
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtDestroyEvent(event))
            try machine.check(machine.runtime.aclrtRecordEvent(event, machine.stream))
        },
        Misuse("a reset of a device that is not set", 107002) { try $0.check($0.runtime.aclrtResetDevice(3)) },
        Misuse("a callback without a subscribed thread", 107015) { machine in
            try machine.check(machine.runtime.aclrtLaunchCallback({ _ in }, nil, ACL_CALLBACK_BLOCK, machine.stream))
        },
    ]

    static let ofMemory: [Misuse] = [
        Misuse("an allocation of nothing", 107000) { _ = try $0.allocate(0) },
        Misuse("more memory than there is", 207001, ["HBM_BYTES": "1000000"]) { _ = try $0.allocate(2_000_000) },
        Misuse("two policies at once", 107000) { machine in
            var pointer: UnsafeMutableRawPointer?
            try machine.check(machine.runtime.aclrtMalloc(&pointer, 64, aclrtMemMallocPolicy(rawValue: 0x1001)))
        },
        Misuse("freeing twice", 107000) { machine in
            let place = try machine.allocate(64)
            try machine.check(machine.runtime.aclrtFree(place))
            try machine.check(machine.runtime.aclrtFree(place))
        },
        Misuse("freeing the middle of an allocation", 107000) { machine in
            try machine.check(machine.runtime.aclrtFree(try machine.allocate(128) + 64))
        },
        Misuse("freeing host memory as pinned that is not", 107000) { machine in
            let place = malloc(64)
            defer { free(place) }
            try machine.check(machine.runtime.aclrtFreeHost(place))
        },
        Misuse("copying more than fits", 107000) { machine in
            var bytes = [UInt8](repeating: 0, count: 64)
            let place = try machine.allocate(64)
            try machine.check(machine.runtime.aclrtMemcpy(&bytes, 32, place, 64, ACL_MEMCPY_DEVICE_TO_HOST))
        },
        Misuse("copying beyond an allocation", 107000) { machine in
            let bytes = [UInt8](repeating: 0, count: 4096)
            let place = try machine.allocate(1024)
            try machine.check(machine.runtime.aclrtMemcpy(place, 4096, bytes, 4096, ACL_MEMCPY_HOST_TO_DEVICE))
        },
        Misuse("copying from freed memory", 107000) { machine in
            let place = try machine.upload([1, 2, 3])
            try machine.check(machine.runtime.aclrtFree(place))
            _ = try machine.download(place, 3, 0)
        },
        Misuse("filling host memory as if it were the device's", 107000) { machine in
            var bytes = [UInt8](repeating: 0, count: 64)
            try machine.check(machine.runtime.aclrtMemset(&bytes, 64, 0, 64))
        },
        Misuse("freeing pinned memory before the copy is done", 107000, ["DELAY_US": "0"]) { machine in
            // The stream is held up by an event, so that the copy cannot be done yet.
            var host: UnsafeMutableRawPointer?
            var event: aclrtEvent?
            var other: aclrtStream?
            try machine.check(machine.runtime.aclrtCreateStream(&other))
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtMallocHost(&host, 64))
            let place = try machine.allocate(64)
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
            try machine.check(
                machine.runtime.aclrtMemcpyAsync(place, 64, host, 64, ACL_MEMCPY_HOST_TO_DEVICE, machine.stream))
            try machine.check(machine.runtime.aclrtFreeHost(host))
            try machine.check(machine.runtime.aclrtRecordEvent(event, other))
            try machine.synchronize()
        },
        Misuse("memory of another device", 507015) { machine in
            try machine.check(machine.runtime.aclrtSetDevice(1))
            let place = try machine.allocate(64)
            try machine.check(machine.runtime.aclrtSetDevice(0))
            try machine.check(machine.runtime.aclrtMemsetAsync(place, 64, 0, 64, machine.stream))
            try machine.synchronize()
        },
        Misuse("reserving with an alignment", 107000) { machine in
            var place: UnsafeMutableRawPointer?
            try machine.check(machine.runtime.aclrtReserveMemAddress(&place, 4 << 20, 4096, nil, 1))
        },
        Misuse("physical memory of an odd size", 107000) { _ = try physical($0, 3_000_000) },
        Misuse("mapping another size than was made", 107000) { machine in
            let (place, handle) = (try reserve(machine), try physical(machine, 4 << 20))
            try machine.check(machine.runtime.aclrtMapMem(place, 2 << 20, 0, handle, 0))
        },
        Misuse("mapping where nothing is reserved", 107000) { machine in
            let handle = try physical(machine, 2 << 20)
            let place = UnsafeMutableRawPointer(bitPattern: 2 << 20)
            try machine.check(machine.runtime.aclrtMapMem(place, 2 << 20, 0, handle, 0))
        },
        Misuse("releasing addresses that are mapped", 107000) { machine in
            let (place, handle) = (try reserve(machine), try physical(machine, 2 << 20))
            try machine.check(machine.runtime.aclrtMapMem(place, 2 << 20, 0, handle, 0))
            try machine.check(machine.runtime.aclrtReleaseMemAddress(place))
        },
        Misuse("a copy to mapped memory on 310P", 107017, ["SOC": "Ascend310P3"]) { machine in
            let (place, handle) = (try reserve(machine), try physical(machine, 2 << 20))
            try machine.check(machine.runtime.aclrtMapMem(place, 2 << 20, 0, handle, 0))
            let host: [UInt8] = [1, 2, 3]
            try machine.check(machine.runtime.aclrtMemcpy(place, 3, host, 3, ACL_MEMCPY_HOST_TO_DEVICE))
        },
        Misuse("reserved addresses that are not mapped", 107000) { machine in
            try machine.check(machine.runtime.aclrtMemset(try reserve(machine), 64, 0, 64))
        },
    ]

    private static func reserve(_ machine: Machine) throws -> UnsafeMutableRawPointer? {
        var place: UnsafeMutableRawPointer?
        try machine.check(machine.runtime.aclrtReserveMemAddress(&place, 8 << 20, 0, nil, 1))
        return place
    }

    private static func physical(_ machine: Machine, _ bytes: Int) throws -> aclrtDrvMemHandle? {
        var properties = aclrtPhysicalMemProp(
            handleType: ACL_MEM_HANDLE_TYPE_NONE, allocationType: ACL_MEM_ALLOCATION_TYPE_PINNED,
            memAttr: ACL_HBM_MEM_HUGE, location: aclrtMemLocation(id: 0, type: ACL_MEM_LOCATION_TYPE_DEVICE), reserve: 0
        )
        var handle: aclrtDrvMemHandle?
        try machine.check(machine.runtime.aclrtMallocPhysical(&handle, bytes, &properties, 0))
        return handle
    }
}
