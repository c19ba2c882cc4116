using System.Buffers;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using CsCheck;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Gateway.Forwarding.Adapters;
using KantaGateway.Tests.Fhir.Hl7v2;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Forwarding;

/// <summary>Over MLLP the certificate of a system that is registered for it says who sends; the rest is the path of every message.</summary>
[Collection(AdapterHouseCollection.Name)]
public sealed class MllpTests(AdapterHouse shared)
{
    [Fact]
    public async Task A_registered_system_is_answered_message_by_message_and_nobody_else()
    {
        var (house, port) = (shared.House, shared.Mllp);
        using (var line = await Line.OpenAsync(house, port, "aurora"))
        {
            Assert.Equal("AA", (await line.AskAsync(Sent.Arrival("1"))).First("MSA")!.Text(1));
            // Two at once are answered in their order, and a bad one between them ends nothing.
            await line.SendAsync(Sent.Arrival("1"), Sent.Bytes(Sent.Join(Sent.Header("ADT^A99", "2"))), Sent.Booking("3"));
            Assert.Equal(new (string?, string?)[] { ("AA", "1"), ("AR", "2"), ("AA", "3") }, new[] { await AnswerAsync(), await AnswerAsync(), await AnswerAsync() });
            Assert.Equal(1, (await house.Aurora.System.SearchAsync("Encounter", $"patient.identifier=urn:oid:1.2.246.21|{Sent.Code()}")).Json.GetProperty("total").GetInt32());
            await line.WriteAsync("GET / HTTP/1.1\r\n"u8.ToArray());
            Assert.Equal("AR", (await line.ReadAsync())!.First("MSA")!.Text(1));
            Assert.Null(await line.ReadAsync());

            async Task<(string?, string?)> AnswerAsync() => await line.ReadAsync() is { } answer && answer.First("MSA") is { } msa ? (msa.Text(1), msa.Text(2)) : default;
        }
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            using var nobody = await Line.OpenAsync(house, port, null);
            await nobody.AskAsync(Sent.Arrival("9"));
        });
    }

    /// <summary>Its certificate is registered and good for tokens; that it may send by it alone is another thing. It is told so though it has sent nothing: the handshake has shown who it is.</summary>
    [Fact]
    public async Task A_system_that_is_not_registered_for_it_is_refused_before_a_byte_of_it_is_read()
    {
        using var line = await Line.OpenAsync(shared.House, shared.Mllp, "revontuli");
        var answer = await line.ReadAsync();
        Assert.Equal(("AR", null), (answer!.First("MSA")!.Text(1), answer.First("MSA")!.Text(2)));
        Assert.Contains("registered for MLLP", answer.First("ERR")!.Text(8));
        Assert.Null(await line.ReadAsync());
        Assert.Equal(0, (await shared.House.Revontuli.System.SearchAsync("Encounter", $"patient.identifier=urn:oid:1.2.246.21|{Sent.Code()}")).Json.GetProperty("total").GetInt32());
    }

    [Fact]
    public void Frames_come_out_as_they_went_in_however_they_were_cut() =>
        Gen.Select(Gen.Byte.Array[0, 50].Array[0, 4], Gen.Int[1, 7]).Sample((messages, piece) =>
        {
            messages = [.. messages.Select(static m => m.Where(static b => b != MllpFrames.End).ToArray())];
            var all = new ArrayBufferWriter<byte>();
            foreach (var message in messages)
                MllpFrames.Write(all, message);
            var (received, searched) = (new List<byte>(), 0L);
            var taken = new List<byte[]>();
            foreach (var part in all.WrittenSpan.ToArray().Chunk(piece))
            {
                received.AddRange(part);
                var buffer = new ReadOnlySequence<byte>(received.ToArray());
                while (MllpFrames.Take(ref buffer, searched, out var content) == MllpFound.Message)
                {
                    taken.Add(content.ToArray());
                    searched = 0;
                }
                received = [.. buffer.ToArray()];
                searched = received.Count;
            }
            Assert.Equal(messages, taken);
            Assert.Empty(received);
        }, iter: 200);

    [Fact]
    public void What_is_no_frame_or_too_long_is_found()
    {
        var foreign = new ReadOnlySequence<byte>("MSH"u8.ToArray());
        Assert.Equal(MllpFound.Foreign, MllpFrames.Take(ref foreign, 0, out _));
        var endless = new ReadOnlySequence<byte>([MllpFrames.Start, .. new byte[KantaGateway.Gateway.Disclosure.InteractionReader.MaxBody + 3]]);
        Assert.Equal(MllpFound.TooLong, MllpFrames.Take(ref endless, 0, out _));
        var begun = new ReadOnlySequence<byte>([MllpFrames.Start, 65, MllpFrames.End]);
        Assert.Equal(MllpFound.Incomplete, MllpFrames.Take(ref begun, 0, out _));
    }

    /// <summary>A sender's end of a connection.</summary>
    private sealed class Line(SslStream stream) : IDisposable
    {
        private readonly List<byte> _received = [];

        public static async Task<Line> OpenAsync(HouseInMemory house, int port, string? clinic)
        {
            var socket = new TcpClient();
            await socket.ConnectAsync(IPAddress.Loopback, port);
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
            policy.CustomTrustStore.AddRange(house.Folder.Authority);
            var stream = new SslStream(socket.GetStream());
            await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = "localhost", CertificateChainPolicy = policy, EnabledSslProtocols = SslProtocols.Tls12,
                ClientCertificateContext = clinic is null ? null : SslStreamCertificateContext.Create(X509Certificate2.CreateFromPemFile(house.Folder.File($"clinics/{clinic}/tls.pem"), house.Folder.File($"clinics/{clinic}/tls.key")), null),
            });
            return new(stream);
        }

        public async Task SendAsync(params byte[][] messages)
        {
            var all = new ArrayBufferWriter<byte>();
            foreach (var message in messages)
                MllpFrames.Write(all, message);
            await WriteAsync(all.WrittenMemory.ToArray());
        }

        public async Task WriteAsync(byte[] bytes) => await stream.WriteAsync(bytes);

        public async Task<Hl7Message> AskAsync(byte[] message)
        {
            await SendAsync(message);
            return await ReadAsync() ?? throw new InvalidOperationException("Hung up on.");
        }

        /// <summary>Null: the connection has ended.</summary>
        public async Task<Hl7Message?> ReadAsync()
        {
            var bytes = new byte[4096];
            // Who is not answered must not wait for ever.
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            while (true)
            {
                var buffer = new ReadOnlySequence<byte>(_received.ToArray());
                if (MllpFrames.Take(ref buffer, 0, out var content) == MllpFound.Message)
                {
                    _received.RemoveRange(0, _received.Count - (int)buffer.Length);
                    return Hl7Message.Read(content.ToArray());
                }
                if (await stream.ReadAsync(bytes, patience.Token) is var read and > 0)
                    _received.AddRange(bytes[..read]);
                else
                    return null;
            }
        }

        public void Dispose() => stream.Dispose();
    }
}
