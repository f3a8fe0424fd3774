import Glibc
import LMClient
import LMEngine
import ProgramKit
import Synchronization
import TestKit
import Testing

extension SimulatedDevice {
    /// `lmserve` with a driver that does not come back from a call, whatever time-out it was given. Limits are those that
    /// users have: ten seconds for a step, five more until it is taken for hung, thirty until the process ends.
    @Suite("A driver that hangs", .timeLimit(.minutes(3)))
    struct HangTests {
        /// Programs inherit the settings of the simulated device.
        init() throws { try AscendSimulator.restart() }

        /// A server whose driver hangs in the second answer, and a client that repeats nothing by itself.
        private struct Rig {
            let server: Server
            let client: LMClient
            let expected: String

            /// Enough steps to know how long one takes.
            init(_ folder: TemporaryFolder, milliseconds: Int, _ options: [String] = []) async throws {
                let script = "hang call=aclmdlRIExecuteAsync nth=30 ms=\(milliseconds)"
                server = try ServerTests.start(folder, ["FAULTS": script], options)
                var configuration = ClientConfiguration(endpoint: server.address)
                configuration.retry = .none
                configuration.resumesStreams = false
                client = try LMClient(configuration)
                expected = try await Self.answer(client)
            }

            func answer() async throws(LMError) -> String { try await Self.answer(client) }

            private static func answer(_ client: LMClient) async throws(LMError) -> String {
                var request = GenerateRequest(.tokens([5, 17, 3, 60, 2]))
                request.sampling.temperature = 0
                request.stop.maxTokens = 24
                request.stop.ignoresEndOfSequence = true
                var text = ""
                for try await token in try await client.generate(request) { text += token.text }
                return text
            }

            /// Asks for so many answers at once, of which the step that hangs is one; what became of them and after how long.
            func strike(_ count: Int = 1) async throws -> (errors: [LMError?], seconds: Double) {
                let start = ContinuousClock.now
                let errors = await withTaskGroup(of: LMError?.self) { group in
                    for _ in 0..<count {
                        group.addTask {
                            do throws(LMError) {
                                _ = try await answer()
                                return nil
                            } catch {
                                return error
                            }
                        }
                    }
                    return await group.reduce(into: [LMError?]()) { $0.append($1) }
                }
                return (errors, (ContinuousClock.now - start) / .seconds(1))
            }

            func statistics() async throws -> [String: UInt64] {
                Dictionary(uniqueKeysWithValues: try await client.statistics().map { ($0.name, $0.value) })
            }

            /// Ends the server as a supervisor does. Returns what it said.
            func stop() throws -> ChildProcess.Outcome {
                client.shutdown()
                server.process.send(SIGTERM)
                return try server.process.finish(within: .seconds(15))
            }
        }

        /// What an engine told of its device.
        private final class Told: Sendable {
            let hangs = Mutex<[DeviceHang]>([])
        }

        @Test("Of several NPUs the one is named that hangs; all are set up anew together")
        func ranks() throws {
            try AscendSimulator.restart(["FAULTS": "hang call=HcclAllReduce nth=21 ms=6000"])
            let checkpoint = AscendModel.qwen3.checkpoint()
            try AscendSimulator.announce()
            let backend = try AscendBackend(
                checkpoint: checkpoint, division: AscendDivision(ranks: 2), batches: BatchBuckets.none)
            (backend.watch.first, backend.watch.least) = (1_500, 1_500)
            let told = Told()
            var options = EngineOptions()
            options.keyValueCacheBytes = 1 << 20
            options.hangs.margin = 500
            options.hangs.tell = { hang in told.hangs.withLock { $0.append(hang) } }
            let engine = try InferenceEngine(
                backend: backend, tokenizer: checkpoint.tokenizer, model: checkpoint.configuration, options: options)
            defer { engine.shutdown() }

            let inbox = EventInbox()
            var collector = OutputCollector()
            func answer(_ number: UInt64) throws -> Output {
                let request = GenerationRequest.test(maxTokens: 24) { request in
                    request.stop.ignoreEndOfSequence = true
                    request.sampling.temperature = 0
                }
                let id = try engine.submit(request, tag: number * 10, to: inbox.mailbox)
                var batch = EventBatch()
                while !collector[id].isEnded {
                    guard inbox.wait(into: &batch) else { break }
                    collector.collect(batch)
                }
                return collector[id]
            }
            let struck = try answer(1)
            #expect(struck.error?.code == .deviceLost && struck.tokens.count < 24)
            // People are told after those that wait.
            for _ in 0..<100 where told.hangs.withLock({ $0.isEmpty }) { usleep(10_000) }
            guard case .began(let text) = told.hangs.withLock({ $0.first }) else {
                Issue.record("nobody was told")
                return
            }
            #expect(text.contains("HcclAllReduce of device "), "\(text)")
            for _ in 0..<200 where engine.isHung { usleep(100_000) }
            let again = try answer(2)
            #expect(again.tokens.count == 24 && again.tokens.starts(with: struck.tokens))
        }

        /// Starts a back end and an engine with a driver so bad; what was told meanwhile.
        private func start(_ faults: String, division: AscendDivision = .none) throws -> [DeviceHang] {
            try AscendSimulator.restart(["FAULTS": faults])
            let checkpoint = AscendModel.qwen3.checkpoint()
            try AscendSimulator.announce()
            let told = Told()
            var options = EngineOptions()
            options.keyValueCacheBytes = 1 << 20
            (options.hangs.start, options.hangs.margin) = (400, 200)
            options.hangs.tell = { hang in told.hangs.withLock { $0.append(hang) } }
            try options.hangs.watching("looking for NPUs") { () throws(EngineError) in
                try division.requireDevices()
            }
            let backend = try AscendBackend(
                checkpoint: checkpoint, division: division, batches: BatchBuckets.none, hangs: options.hangs)
            let engine = try InferenceEngine(
                backend: backend, tokenizer: checkpoint.tokenizer, model: checkpoint.configuration, options: options)
            engine.shutdown()
            return told.hangs.withLock(\.self)
        }

        @Test(
            "A call that hangs before there is an engine is named",
            arguments: [
                ("aclrtGetDeviceCount", 1, "looking for NPUs"), ("aclrtSetDevice", 1, "setting the device up"),
                ("aclrtReserveMemAddress", 1, "setting the device up"), ("aclrtMapMem", 1, "setting the device up"),
                ("aclrtMemcpyAsync", 7, "setting the device up"),
                ("aclrtGetMemInfo", 2, "reserving the device's memory"),
                ("aclrtMapMem", 2, "reserving the device's memory"),
            ])
        func start(_ call: String, _ number: Int, _ what: String) throws {
            let told = try start("hang call=\(call) nth=\(number) ms=1500")
            #expect(told.count == 1)
            guard case .inStart(let text) = told.first else {
                Issue.record("\(told)")
                return
            }
            #expect(text.hasPrefix("\(what) (in \(call)) has not come back for 0 s"), "\(text)")
        }

        @Test("Before there is an engine, too, of several NPUs the one is named that hangs")
        func rankStart() throws {
            let told = try start("hang call=aclrtMemcpyAsync nth=9 ms=1500", division: AscendDivision(ranks: 2))
            guard case .inStart(let text) = told.first else {
                Issue.record("\(told)")
                return
            }
            #expect(told.count == 1 && text.contains("in aclrtMemcpyAsync of device "), "\(text)")
        }

        @Test("A driver that is slow in every call is none that hangs")
        func slowStart() throws {
            let faults = (1...6).map { "hang call=aclrtMemcpyAsync nth=\($0) ms=300" }.joined(separator: ";")
            #expect(try start(faults).isEmpty)
        }

        @Test("A system that refuses the thread that watches is an error that says so")
        func noThread() throws {
            // No stack of that size can be had.
            let outcome = try ChildProcess(
                "/bin/sh",
                ["-c", "ulimit -s 134217728000; exec \"$@\"", "sh", Programs.path("lmserve"), "doctor", "--npu"],
                environment: ["LM_ASCEND_LIBRARY": try Programs.path("libAscendSim.so")]
            ).finish(within: .seconds(20))
            #expect(outcome.status == 1 && outcome.output.isEmpty)
            #expect(outcome.errors.contains("no thread that watches the start of the device"), "\(outcome.errors)")
            #expect(outcome.errors.contains("raise the limit of threads"))
        }

        @Test("Requests fail at once and can be repeated, health says so, and supervisors are given an end or a return")
        func hangs() async throws {
            let folder = try ServerTests.folder()
            async let returning: Void = comesBack(folder)
            async let ending: Void = staysAway(folder)
            async let passing: Void = copies(folder)
            async let starting: Void = startsNever(folder)
            _ = try await (returning, ending, passing, starting)
        }

        /// Nobody has to guess why a server does not say that it listens.
        private func startsNever(_ folder: TemporaryFolder) async throws {
            let process = try ChildProcess(
                Programs.path("lmserve"), ["--model", folder.path, "--device", "npu"],
                environment: [
                    "LM_ASCEND_LIBRARY": try Programs.path("libAscendSim.so"),
                    "LM_ASCENDSIM_FAULTS": "hang call=aclrtMemcpyAsync nth=5 ms=-1",
                ])
            let start = ContinuousClock.now
            for _ in 0..<1_400 where process.isRunning { try await Task.sleep(for: .milliseconds(100)) }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            #expect((124..<135).contains(seconds), "\(seconds) s")
            let outcome = try process.finish(within: .seconds(1))
            #expect(outcome.status == 71)
            let text = "NPU: setting the device up (in aclrtMemcpyAsync) has not come back for 125 s"
            #expect(outcome.errors.contains(text), "\(outcome.errors)")
            #expect(outcome.errors.contains("the program ends with status 71"), "\(outcome.errors)")
        }

        private func comesBack(_ folder: TemporaryFolder) async throws {
            let rig = try await Rig(folder, milliseconds: 22_000)
            let (errors, seconds) = try await rig.strike(3)
            for error in errors {
                #expect(error?.code == .device && error?.isRetryable == true)
                #expect(error?.message.contains("aclmdlRIExecuteAsync") == true, "\(String(describing: error))")
            }
            #expect((14..<20).contains(seconds), "\(seconds) s")
            #expect(try await rig.client.health().status == .failed)
            let refused = try await rig.strike()
            #expect(refused.errors.first??.code == .device && refused.errors.first??.isRetryable == true)
            #expect(refused.seconds < 2, "\(refused.seconds) s")
            let hung = try await rig.statistics()
            #expect(hung["engines_hung"] == 1 && hung["engines"] == 1)
            #expect(hung["requests_failed_total"] == 3 && hung["requests_running"] == 0)

            for _ in 0..<200 where try await rig.client.health().status != .ready {
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(try await rig.answer() == rig.expected)
            let statistics = try await rig.statistics()
            #expect(statistics["engines_hung"] == 0)
            #expect(statistics["steps_failed_total"] == 1 && statistics["requests_failed_total"] == 3)
            #expect(statistics["kv_blocks_owned"] == 0)
            let outcome = try rig.stop()
            #expect(outcome.status == 0)
            let text = "NPU: a step (in aclmdlRIExecuteAsync) has not come back for 15 s"
            #expect(outcome.errors.contains(text), "\(outcome.errors)")
            #expect(outcome.errors.contains("NPU: the driver came back, and the device is set up anew"))
        }

        private func staysAway(_ folder: TemporaryFolder) async throws {
            let rig = try await Rig(folder, milliseconds: -1)
            #expect(try await rig.strike().errors.first??.code == .device)
            #expect(try await rig.client.health().status == .failed)
            for _ in 0..<450 where rig.server.process.isRunning { try await Task.sleep(for: .milliseconds(100)) }
            rig.client.shutdown()
            let outcome = try rig.server.process.finish(within: .seconds(1))
            #expect(outcome.status == 71)
            #expect(outcome.errors.contains("the server ends with status 71"), "\(outcome.errors)")
        }

        /// Of two copies one hangs for ever; the other answers, also when the time is over in which the first might return.
        private func copies(_ folder: TemporaryFolder) async throws {
            let rig = try await Rig(folder, milliseconds: -1, ["--data-parallel-size", "2"])
            async let struck = rig.strike()
            try await Task.sleep(for: .seconds(1))
            #expect(try await rig.answer() == rig.expected)
            #expect(try await struck.errors.first??.code == .device)
            for _ in 0..<70 {
                #expect(try await rig.answer() == rig.expected)
                #expect(try await rig.client.health().status == .ready)
                try await Task.sleep(for: .milliseconds(500))
            }
            #expect(try await rig.statistics()["engines_hung"] == 1)
            let outcome = try rig.stop()
            #expect(outcome.status == 0)
            #expect(outcome.errors.contains("NPU, copy 0: a step"), "\(outcome.errors)")
            #expect(outcome.errors.contains("the other copies go on serving"), "\(outcome.errors)")
        }
    }
}
