import CAscend
import Glibc
import Testing

extension SimulatorTests {
    /// What the fault script plants, and what a program sees of it.
    @Suite struct FaultTests {
        private func code(_ body: () throws -> Void) -> Int32 {
            do {
                try body()
                return 0
            } catch {
                return (error as? CallFailure)?.code ?? -1
            }
        }

        private func expect(_ wanted: Int32, _ body: () throws -> Void) {
            let found = code(body)
            #expect(found == wanted)
        }

        @Test func theNthCallFailsAndOnlyThat() throws {
            let machine = try Machine(["FAULTS": "fail call=aclrtSynchronizeStream nth=2 code=107020"])
            let codes = (0..<3).map { _ in code { try machine.synchronize() } }
            #expect(codes == [0, 107020, 0])
        }

        @Test func aFailureThatIsAsynchronousComesWithTheNextWait() throws {
            let machine = try Machine(["FAULTS": "fail call=aclnnRmsNorm code=507015 async=true"])
            let norm = try Norm(machine)
            try machine.launch(machine.operators.aclnnRmsNorm) { norm.plan(machine, $0, $1) }
            expect(507015) { try machine.synchronize() }
            // A fault of a core stays until the device is reset.
            expect(507015) { try machine.synchronize() }
            try machine.check(machine.runtime.aclrtResetDeviceForce(0))
            try machine.check(machine.runtime.aclrtSetDevice(0))
            try machine.check(machine.runtime.aclrtSynchronizeDevice())
        }

        @Test func aTaskThatStandsStillEndsWithTheReset() throws {
            let machine = try Machine(["FAULTS": "stall op=aclnnRmsNorm ms=60000"])
            let norm = try Norm(machine)
            try machine.launch(machine.operators.aclnnRmsNorm) { norm.plan(machine, $0, $1) }
            expect(507046) {
                try machine.check(machine.runtime.aclrtSynchronizeStreamWithTimeout(machine.stream, 20))
            }
            try machine.check(machine.runtime.aclrtResetDeviceForce(0))
            try machine.check(machine.runtime.aclrtSetDevice(0))
            try machine.check(machine.runtime.aclrtSynchronizeDevice())
        }

        @Test func aCallHangsWhateverItsTimeOutAndMayFailThen() throws {
            let call = "aclrtSynchronizeStreamWithTimeout"
            let machine = try Machine(["FAULTS": "hang call=\(call) ms=300; fail call=\(call) code=507899"])
            let start = ContinuousClock.now
            expect(507899) {
                try machine.check(machine.runtime.aclrtSynchronizeStreamWithTimeout(machine.stream, 20))
            }
            #expect(ContinuousClock.now - start >= .milliseconds(300))
        }

        @Test func aRowBecomesNaN() throws {
            let machine = try Machine(["FAULTS": "nan op=aclnnRmsNorm row=1"])
            let norm = try Norm(machine)
            try machine.run(machine.operators.aclnnRmsNorm) { norm.plan(machine, $0, $1) }
            let y = try machine.read(norm.y)
            #expect(y[..<64].allSatisfy { $0 == 1 })
            #expect(y[64...].allSatisfy { $0.isNaN })
        }

        @Test func aRowStaysNaN() throws {
            let machine = try Machine(["FAULTS": "nan op=aclnnRmsNorm row=1 nth=2 every=true"])
            func isFinite(_ machine: Machine) throws -> Bool {
                let norm = try Norm(machine)
                try machine.run(machine.operators.aclnnRmsNorm) { norm.plan(machine, $0, $1) }
                return try machine.read(norm.y).allSatisfy { $0 == 1 }
            }
            #expect(try [isFinite(machine), isFinite(machine), isFinite(machine)] == [true, false, false])
        }

        @Test func memoryGoesBad() throws {
            let machine = try Machine(["FAULTS": "rot after=1 offset=8 bytes=4"])
            let place = try machine.allocate(64)
            func numbers() throws -> [Float] {
                try machine.check(machine.runtime.aclrtMemsetAsync(place, 8, 0, 8, machine.stream))
                try machine.synchronize()
                return try machine.download(place, 4, Float(0))
            }
            try machine.check(machine.runtime.aclrtMemsetAsync(place, 64, 0, 64, machine.stream))
            let found = try numbers()
            #expect(found[0] == 0 && found[1] == 0 && found[2].isNaN && found[3] == 0)
        }

        @Test func memoryEndsWhereTheScriptSays() throws {
            let machine = try Machine(["FAULTS": "oom after=8192"])
            _ = try machine.allocate(4000)
            expect(207001) { _ = try machine.allocate(8000) }
            _ = try machine.allocate(4000)
        }

        @Test func aLostDeviceWorksAgainWhenItIsReset() throws {
            let machine = try Machine(["FAULTS": "lost after=1"])
            let place = try machine.allocate(64)
            for _ in 0..<2 { try machine.check(machine.runtime.aclrtMemsetAsync(place, 64, 0, 64, machine.stream)) }
            expect(507010) { try machine.synchronize() }
            expect(507010) { try machine.check(machine.runtime.aclrtMemsetAsync(place, 64, 0, 64, machine.stream)) }
            try machine.check(machine.runtime.aclrtResetDeviceForce(0))
            try machine.check(machine.runtime.aclrtSetDevice(0))
            var stream: aclrtStream?
            try machine.check(machine.runtime.aclrtCreateStream(&stream))
            let fresh = try machine.allocate(64)
            try machine.check(machine.runtime.aclrtMemsetAsync(fresh, 64, 0, 64, stream))
            try machine.check(machine.runtime.aclrtSynchronizeStream(stream))
            // Its memory and its stream are gone.
            expect(107000) { try machine.check(machine.runtime.aclrtFree(place)) }
            expect(107017) { try machine.synchronize() }
        }

        @Test func aTraceHasALinePerCallAndPerTask() throws {
            let path = "/tmp/ascendsim-\(getpid())-trace"
            defer { unlink(path) }
            let machine = try Machine(["TRACE": path])
            let norm = try Norm(machine)
            try machine.run(machine.operators.aclnnRmsNorm) { norm.plan(machine, $0, $1) }
            expect(107001) { try machine.check(machine.runtime.aclrtSetDevice(9)) }
            let file = try #require(fopen(path, "r"))
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let lines = String(decoding: bytes[..<fread(&bytes, 1, bytes.count, file)], as: UTF8.self).split(
                separator: "\n")
            #expect(lines.contains("aclnnRmsNormGetWorkspaceSize BF16[2, 64] BF16[64] BF16[2, 64] FLOAT[2, 1]"))
            #expect(lines.contains { $0.hasPrefix("task aclnnRmsNorm at ") && $0.hasSuffix("bound by start") })
            #expect(lines.last?.hasPrefix("aclrtSetDevice -> 107001") == true)
        }

        @Test func aStreamThatIsHeldUpEndsInATimeOut() throws {
            let machine = try Machine()
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
            expect(507046) {
                try machine.check(machine.runtime.aclrtSynchronizeStreamWithTimeout(machine.stream, 20))
            }
        }

        @Test func freshMemoryIsNaNAndResultsAreLate() throws {
            let machine = try Machine()
            let place = try machine.allocate(3 << 20)
            let fresh = try machine.download(place, (3 << 20) / 4, Float(0))
            #expect(fresh.allSatisfy { $0.isNaN })
            // Held up by an event, a copy has not been made when its call returns.
            var (event, other, host): (aclrtEvent?, aclrtStream?, UnsafeMutableRawPointer?)
            try machine.check(machine.runtime.aclrtCreateStream(&other))
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtMallocHost(&host, 4))
            let source = try machine.upload([7 as Int32])
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
            try machine.check(
                machine.runtime.aclrtMemcpyAsync(host, 4, source, 4, ACL_MEMCPY_DEVICE_TO_HOST, machine.stream))
            let target = try #require(host)
            #expect(target.load(as: Int32.self) == -1)
            try machine.check(machine.runtime.aclrtRecordEvent(event, other))
            try machine.synchronize()
            #expect(target.load(as: Int32.self) == 7)
        }

        @Test func mappedMemoryIsOneRunOfAddresses() throws {
            let machine = try Machine()
            var place: UnsafeMutableRawPointer?
            try machine.check(machine.runtime.aclrtReserveMemAddress(&place, 8 << 20, 0, nil, 1))
            let start = try #require(place)
            var properties = aclrtPhysicalMemProp(
                handleType: ACL_MEM_HANDLE_TYPE_NONE, allocationType: ACL_MEM_ALLOCATION_TYPE_PINNED,
                memAttr: ACL_HBM_MEM_HUGE, location: aclrtMemLocation(id: 0, type: ACL_MEM_LOCATION_TYPE_DEVICE),
                reserve: 0)
            for part in 0..<2 {
                var handle: aclrtDrvMemHandle?
                try machine.check(machine.runtime.aclrtMallocPhysical(&handle, 2 << 20, &properties, 0))
                try machine.check(machine.runtime.aclrtMapMem(start + part << 21, 2 << 20, 0, handle, 0))
            }
            let values = (0..<4).map { Int32($0) }
            let middle = start + (2 << 20) - 8
            try machine.check(machine.runtime.aclrtMemcpy(middle, 16, values, 16, ACL_MEMCPY_HOST_TO_DEVICE))
            #expect(try machine.download(middle, 4, Int32(9)) == values)
        }

        @Test func hostCodeCannotTouchTheDevice() async {
            await #expect(processExitsWith: .failure) {
                let machine = try Machine()
                let place = try machine.allocate(64)
                place.storeBytes(of: 1, as: Int32.self)
            }
        }
    }
}
