using System.Security.Cryptography;
using System.Text;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>A Binary's content on its way through both parts.</summary>
public sealed class ContentTests : IAsyncLifetime
{
    private const int MaxBinary = 16 << 20;

    private HouseInMemory _house = null!;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync(MaxBinary);
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Fact]
    public async Task A_content_larger_than_any_body_that_is_buffered_goes_in_and_out_and_is_recorded()
    {
        var sent = RandomNumberGenerator.GetBytes(InteractionReader.MaxBody + 3_000_000);
        var created = await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", sent, [("X-Security-Context", "Patient/" + _house.PatientId)], "image/tiff");
        Assert.True(created.Status == 201, created.ToString());
        var id = created.Stored!.Value.Id;

        var read = await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "image/tiff")]);
        Assert.True(read.Status == 200, read.ToString());
        Assert.Equal(SHA256.HashData(sent), SHA256.HashData(read.Body));
        var lines = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines;
        Assert.Equal(["create", "read"], lines.Where(l => l.Items.Any(i => i.Id == id)).Select(l => l.Interaction).Order(StringComparer.Ordinal));

        var part = await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "image/tiff"), ("Range", "bytes=10000000-10000009"), ("Accept-Encoding", "gzip")]);
        Assert.True(part.Status == 206, part.ToString());
        Assert.Equal(sent[10_000_000..10_000_010], part.Body);
        var beyond = await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "image/tiff"), ("Range", $"bytes={sent.Length}-")]);
        Assert.Equal(416, beyond.Status);
        // Nothing of it was given: its record is one of a refusal.
        lines = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines;
        Assert.Equal(["create", "read", "read"], lines.Where(l => l.Items.Any(i => i.Id == id)).Select(l => l.Interaction).Order(StringComparer.Ordinal));

        var asResource = await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "application/fhir+json")]);
        Assert.Equal(406, asResource.Status);
        Assert.Contains("*/*", Encoding.UTF8.GetString(asResource.Body), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(MaxBinary + 1, true)]
    [InlineData(MaxBinary + 1, false)]
    [InlineData(2 * MaxBinary, true)]
    [InlineData(2 * MaxBinary, false)]
    public async Task A_content_larger_than_any_that_is_kept_is_refused_and_leaves_nothing(int size, bool isChunked)
    {
        using var content = new ByteArrayContent(new byte[size]);
        content.Headers.ContentType = new("image/tiff");
        content.Headers.ContentLength = isChunked ? null : size;
        var refused = await _house.Aurora.SendAsync(HttpMethod.Post, "Binary", await _house.Aurora.TokenAsync(), isChunked ? Unmeasured(content) : content, [("X-Security-Context", "Patient/" + _house.PatientId)]);
        Assert.True(refused.Status == 413, refused.ToString());
        Assert.Equal("OperationOutcome", refused.Json.GetProperty("resourceType").GetString());
        Assert.Equal("too-long", refused.Json.GetProperty("issue")[0].GetProperty("code").GetString());
        Assert.Equal(0, (await _house.Aurora.System.SendAsync(HttpMethod.Get, $"Binary/_history?patient={_house.PatientId}")).Json.GetProperty("total").GetInt32());
        Assert.Equal(201, (await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", new byte[] { 1 }, [("X-Security-Context", "Patient/" + _house.PatientId)], "image/tiff")).Status);
    }

    /// <summary>The same without a length: it is sent in chunks.</summary>
    private static StreamContent Unmeasured(HttpContent content)
    {
        var stream = new System.IO.Pipelines.Pipe(new System.IO.Pipelines.PipeOptions(pauseWriterThreshold: 0));
        content.CopyTo(stream.Writer.AsStream(leaveOpen: true), null, default);
        stream.Writer.Complete();
        var unmeasured = new StreamContent(stream.Reader.AsStream());
        unmeasured.Headers.ContentType = content.Headers.ContentType;
        return unmeasured;
    }

    [Fact]
    public async Task A_caller_who_hangs_up_in_the_middle_has_stored_nothing()
    {
        var line = new System.IO.Pipelines.Pipe(new System.IO.Pipelines.PipeOptions(pauseWriterThreshold: 0));
        await line.Writer.WriteAsync(new byte[5_000_000]);
        await line.Writer.CompleteAsync(new IOException("The line went dead."));
        using var content = new StreamContent(line.Reader.AsStream());
        content.Headers.ContentType = new("image/tiff");
        var token = await _house.Aurora.TokenAsync();
        await Assert.ThrowsAsync<HttpRequestException>(() => _house.Aurora.SendAsync(HttpMethod.Post, "Binary", token, content, [("X-Security-Context", "Patient/" + _house.PatientId)]));
        Assert.Equal(0, (await _house.Aurora.System.SendAsync(HttpMethod.Get, $"Binary/_history?patient={_house.PatientId}")).Json.GetProperty("total").GetInt32());
    }

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task A_caller_who_hangs_up_in_the_middle_of_a_download_is_on_record_and_troubles_nobody(string version)
    {
        using var errors = new SeenLogs();
        await using (var house = await HouseInMemory.OpenAsync(MaxBinary, errors))
        {
            await house.AdmitAsync();
            var sent = RandomNumberGenerator.GetBytes(MaxBinary);
            var created = await house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", sent, [("X-Security-Context", "Patient/" + house.PatientId)], "image/tiff");
            Assert.True(created.Status == 201, created.ToString());
            var (id, log) = (created.Stored!.Value.Id, house.Gateway.GetRequiredService<AccessLog>());
            using var aurora = KantaGateway.Harness.Clients.ClinicClient.Open(house.Folder, "aurora", house.Target, version: Version.Parse(version));
            for (var read = 1; read <= 3; read++)
            {
                Assert.Equal((200, 100_000), await aurora.ReadBeginningAsync("Binary/" + id, await aurora.TokenAsync(), 100_000, [("Accept", "image/tiff")]));
                // It was durable before the first byte that came.
                Assert.Equal(read, (await log.ForPersonAsync(house.Citizen)).Lines.Count(l => l.Interaction == "read" && l.Items.Any(i => i.Id == id)));
            }
            var whole = await aurora.System.SendAsync(HttpMethod.Get, "Binary/" + id, headers: [("Accept", "image/tiff")]);
            Assert.Equal(SHA256.HashData(sent), SHA256.HashData(whole.Body));
            Assert.Equal(201, (await aurora.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation("sen jälkeen")))).Status);
        }
        // The house has stopped, so every part has noticed that the caller has gone.
        Assert.Equal("", errors.ToString());
    }

    [Fact]
    public async Task A_content_says_whose_it_is_in_a_header()
    {
        Assert.Equal(422, (await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", new byte[] { 1 }, contentType: "image/png")).Status);
        Assert.Equal(422, (await _house.Aurora.System.SendAsync(HttpMethod.Post, "Binary", new byte[] { 1 }, [("X-Security-Context", "Patient/nobody")], "image/png")).Status);
        Assert.Equal(404, (await _house.Aurora.System.SendAsync(HttpMethod.Get, "Binary/" + Guid.NewGuid(), headers: [("Accept", "*/*")])).Status);
    }
}
