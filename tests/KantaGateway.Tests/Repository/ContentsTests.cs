using System.IO.Pipelines;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository.Interactions;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Repository;

/// <summary>Binaries as their own content.</summary>
public sealed class ContentsTests : IAsyncLifetime
{
    private const string Denied = "1.2.246.10.22222222.14.1";

    /// <summary>Of two parts and a bit.</summary>
    private static readonly string Text = string.Concat(Enumerable.Range(0, 60_000).Select(i => $"rivi {i:x6}"));

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly PipeOptions Unbounded = new(pauseWriterThreshold: 0);

    private readonly WatchedParts.Watch _watch = new();
    private readonly FakeLogCollector _log = new();
    private readonly CancellationTokenSource _patience = new(Patience);
    private RepositoryWorld _world = null!;
    private TimeProvider _time = TimeProvider.System;

    /// <summary>Ends the waiting for what does not come.</summary>
    private CancellationToken Limit => _patience.Token;

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync(configure: builder =>
    {
        StoreInFront.Put(builder, real => new WatchedParts(real, _watch));
        builder.Services.AddSingleton(_time);
        builder.Logging.AddProvider(new FakeLoggerProvider(_log));
    });

    public async Task DisposeAsync()
    {
        await _world.DisposeAsync();
        _patience.Dispose();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(256 << 10)]
    [InlineData((256 << 10) + 1)]
    [InlineData(600_000)]
    public async Task A_content_comes_back_as_it_was_sent_and_its_digest_stands_in_the_manifest(int length)
    {
        var clinic = await ClinicAsync();
        var sent = Text[..length];
        var created = (await SendAsync(clinic, sent)).Is(HttpStatusCode.Created);
        Assert.Equal("text/plain", (string)created.Json["contentType"]!);
        Assert.Null(created.Json["data"]);
        Assert.True(Assert.Single(created.Manifest!.Items).Written);

        var read = (await ReadAsync(clinic, (string)created.Json["id"]!, "*/*")).Is(HttpStatusCode.OK);
        Assert.Equal(sent, read.Text);
        Assert.Equal("text/plain", read.Headers["Content-Type"]);
        Assert.Equal("nosniff", read.Headers["X-Content-Type-Options"]);
        Assert.Equal(SHA256.HashData(read.Body), read.Manifest!.Digest);
        Assert.Equal(created.ETag, "W/" + read.ETag);
        Assert.Equal("bytes", read.Headers["Accept-Ranges"]);
        var resource = (await clinic.GetAsync($"Binary/{created.Json["id"]}")).Is(HttpStatusCode.OK);
        Assert.Equal(sent, System.Text.Encoding.UTF8.GetString(Convert.FromBase64String((string)resource.Json["data"]!)));
        Assert.Equal(SHA256.HashData(resource.Body), resource.Manifest!.Digest);
    }

    /// <summary>Beginning, end, across the border of two parts, the last octet, more than there is.</summary>
    [Theory]
    [InlineData("bytes=0-99", 0, 99)]
    [InlineData("bytes=262140-262150", 262140, 262150)]
    [InlineData("bytes=262144-262144", 262144, 262144)]
    [InlineData("bytes=599990-", 599990, 599999)]
    [InlineData("bytes=-7", 599993, 599999)]
    [InlineData("bytes=-9999999", 0, 599999)]
    [InlineData("bytes=599999-99999999999999999999999", 599999, 599999)]
    [InlineData("BYTES= 5-6 ", 5, 6)]
    public async Task A_part_of_a_content_is_given_and_recorded_as_the_content(string range, int first, int last)
    {
        var clinic = await ClinicAsync();
        var sent = Text[..600_000];
        var created = (await SendAsync(clinic, sent)).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        var whole = (await ReadAsync(clinic, id, "*/*")).Is(HttpStatusCode.OK);
        var part = (await ReadAsync(clinic, id, "*/*", ("Range", range))).Is(HttpStatusCode.PartialContent);
        Assert.Equal(sent[first..(last + 1)], part.Text);
        Assert.Equal($"bytes {first}-{last}/600000", part.Headers["Content-Range"]);
        Assert.Equal((last - first + 1).ToString(System.Globalization.CultureInfo.InvariantCulture), part.Headers["Content-Length"]);
        Assert.Equal(whole.Headers[KantaGateway.Fhir.Transport.InternalHeaders.Manifest], part.Headers[KantaGateway.Fhir.Transport.InternalHeaders.Manifest]);
        foreach (var same in (string[])["ETag", "Last-Modified", "Content-Type", "Accept-Ranges", "X-Content-Type-Options", "Content-Security-Policy"])
            Assert.Equal(whole.Headers[same], part.Headers[same]);
        // A part of a version is a part of that version.
        Assert.Equal(part.Text, (await _world.SendAsync(clinic.Grant, null, "GET", $"/fhir/Binary/{id}/_history/{created.Manifest!.Items[0].VersionId}", null, null, ("Accept", "*/*"), ("Range", range))).Is(HttpStatusCode.PartialContent).Text);
    }

    [Theory]
    [InlineData("bytes=600000-")]
    [InlineData("bytes=700000-800000")]
    [InlineData("bytes=-0")]
    public async Task A_part_that_is_not_there_is_refused_with_the_size_and_recorded(string range)
    {
        var clinic = await ClinicAsync();
        var id = (string)(await SendAsync(clinic, Text[..600_000])).Is(HttpStatusCode.Created).Json["id"]!;
        var refused = await ReadAsync(clinic, id, "*/*", ("Range", range));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, refused.Status);
        Assert.Equal("bytes */600000", refused.Headers["Content-Range"]);
        Assert.Equal("OperationOutcome", (string)refused.Json["resourceType"]!);
        Assert.Equal(id, Assert.Single(refused.Manifest!.Items).Id);
        // Of what is not there nothing is told, whatever part of it.
        (await ReadAsync(clinic, Guid.NewGuid().ToString(), "*/*", ("Range", range))).Is(HttpStatusCode.NotFound);
    }

    [Theory]
    [InlineData("bytes=0-1,5-6")]
    [InlineData("bytes=5-1")]
    [InlineData("bytes=x-1")]
    [InlineData("bytes=-")]
    [InlineData("bytes=0--1")]
    [InlineData("lines=0-1")]
    public async Task What_is_no_single_range_of_octets_is_passed_over(string range)
    {
        var clinic = await ClinicAsync();
        var id = (string)(await SendAsync(clinic, "teksti")).Is(HttpStatusCode.Created).Json["id"]!;
        Assert.Equal("teksti", (await ReadAsync(clinic, id, "*/*", ("Range", range))).Is(HttpStatusCode.OK).Text);
    }

    [Fact]
    public async Task A_part_is_given_of_octets_to_a_GET_and_while_the_content_is_still_that_one()
    {
        var clinic = await ClinicAsync();
        var created = (await SendAsync(clinic, "teksti")).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        var read = (await ReadAsync(clinic, id, "*/*")).Is(HttpStatusCode.OK);
        (string, string) part = ("Range", "bytes=1-2");
        Assert.Equal("ek", (await ReadAsync(clinic, id, "*/*", part, ("If-Range", read.ETag))).Is(HttpStatusCode.PartialContent).Text);
        // Two versions may come in one second: a time says too little.
        foreach (var other in (string[])["\"other\"", "W/" + read.ETag, read.Headers["Last-Modified"], "x"])
            Assert.Equal("teksti", (await ReadAsync(clinic, id, "*/*", part, ("If-Range", other))).Is(HttpStatusCode.OK).Text);
        (await ReadAsync(clinic, id, "*/*", part, ("If-None-Match", read.ETag))).Is(HttpStatusCode.NotModified);
        (await ReadAsync(clinic, id, "application/fhir+json", part)).Is(HttpStatusCode.OK);
        (await _world.SendAsync(clinic.Grant, null, "HEAD", $"/fhir/Binary/{id}", null, null, ("Accept", "*/*"), part)).Is(HttpStatusCode.OK);
        // One that came as a resource is octets too.
        var small = await clinic.StoreAsync(new JsonObject
        {
            ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + clinic.PatientId), ["data"] = "dGVrc3Rp",
        });
        var slice = (await ReadAsync(clinic, small, "*/*", part)).Is(HttpStatusCode.PartialContent);
        Assert.Equal(("ek", "bytes 1-2/6"), (slice.Text, slice.Headers["Content-Range"]));
        Assert.Equal(SHA256.HashData("teksti"u8), slice.Manifest!.Digest);
    }

    [Fact]
    public async Task A_Binary_that_came_as_a_resource_is_read_as_content_too()
    {
        var clinic = await ClinicAsync();
        var id = await clinic.StoreAsync(new JsonObject
        {
            ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + clinic.PatientId), ["data"] = "dGVrc3Rp",
        });
        Assert.Equal("teksti", (await ReadAsync(clinic, id, "text/*")).Is(HttpStatusCode.OK).Text);
        (await ReadAsync(clinic, id, "image/png")).Is(HttpStatusCode.NotAcceptable);
    }

    [Fact]
    public async Task An_update_makes_a_new_version_and_the_earlier_content_stays_in_the_history()
    {
        var clinic = await ClinicAsync();
        var created = (await SendAsync(clinic, "ensimmäinen")).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        (await SendAsync(clinic, "toinen", id)).Is(HttpStatusCode.PreconditionRequired);
        (await SendAsync(clinic, "toinen", id, ("If-Match", created.ETag))).Is(HttpStatusCode.OK);
        Assert.Equal("toinen", (await ReadAsync(clinic, id, "*/*")).Text);
        Assert.Equal("ensimmäinen", (await ReadAsync(clinic, $"{id}/_history/{created.Json["meta"]!["versionId"]}", "*/*")).Is(HttpStatusCode.OK).Text);
        (await clinic.DeleteAsync("Binary/" + id)).Is(HttpStatusCode.NoContent);
        (await ReadAsync(clinic, id, "*/*")).Is(HttpStatusCode.Gone);
    }

    [Fact]
    public async Task A_content_belongs_with_what_it_names_and_is_hidden_with_it()
    {
        var person = await _world.NewPersonAsync();
        var writer = _world.As(person, RepositoryWorld.Revontuli);
        await writer.StoreAsync(Some.Patient());
        var visit = await writer.StoreAsync(Some.Encounter(writer.PatientId, Denied));
        var created = (await SendAsync(writer, "salaisuus", null, ("X-Security-Context", "Encounter/" + visit))).Is(HttpStatusCode.Created);
        var reader = _world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed, Denied);
        var hidden = (await ReadAsync(reader, (string)created.Json["id"]!, "*/*")).Is(HttpStatusCode.NotFound);
        var absent = (await ReadAsync(reader, Guid.NewGuid().ToString(), "*/*")).Is(HttpStatusCode.NotFound);
        Assert.Equal(absent.Body, hidden.Body);
        var toHidden = (await SendAsync(reader, "x", null, ("X-Security-Context", "Encounter/" + visit))).Is(HttpStatusCode.UnprocessableEntity);
        var toNothing = (await SendAsync(reader, "x", null, ("X-Security-Context", "Encounter/" + Guid.NewGuid()))).Is(HttpStatusCode.UnprocessableEntity);
        Assert.Equal(toNothing.Body, toHidden.Body);
        Assert.Equal("salaisuus", (await ReadAsync(_world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed), (string)created.Json["id"]!, "*/*")).Is(HttpStatusCode.OK).Text);
    }

    [Fact]
    public async Task A_content_without_a_security_context_is_refused()
    {
        var clinic = await ClinicAsync();
        (await _world.SendAsync(clinic.Grant, null, "POST", "/fhir/Binary", "x", "text/plain")).Is(HttpStatusCode.UnprocessableEntity);
        (await SendAsync(clinic, "x", null, ("X-Security-Context", "nonsense"))).Is(HttpStatusCode.UnprocessableEntity);
    }

    [Fact]
    public async Task Nothing_of_a_content_is_in_the_clear_and_a_part_in_anothers_place_does_not_open()
    {
        var clinic = await ClinicAsync();
        var created = (await SendAsync(clinic, Text)).Is(HttpStatusCode.Created);
        foreach (var file in Directory.GetFiles(_world.Folder, "repository.db*"))
            Assert.DoesNotContain("rivi 00", System.Text.Encoding.Latin1.GetString(ReadShared(file)));
        Change("UPDATE part SET number = CASE number WHEN 0 THEN 1 WHEN 1 THEN 0 ELSE number END + 10; UPDATE part SET number = number - 10");
        (await ReadAsync(clinic, (string)created.Json["id"]!, "*/*", mayBreak: true)).Is(HttpStatusCode.InternalServerError);
    }

    [Fact]
    public async Task Parts_that_a_crash_left_are_swept_at_the_next_start_and_every_hour()
    {
        var clinic = await ClinicAsync();
        var created = (await SendAsync(clinic, Text)).Is(HttpStatusCode.Created);
        var kept = Count();
        LeaveParts(DateTimeOffset.UtcNow.AddHours(-3));
        Assert.Equal(2 * kept, Count());
        var time = await RestartAsync();
        await _watch.Swept.Reader.ReadAsync(Limit);
        Assert.Equal(kept, Count());

        // What is younger than an upload may be is left alone until it is older.
        LeaveParts(DateTimeOffset.UtcNow);
        time.Advance(ContentSweep.Interval);
        await _watch.Swept.Reader.ReadAsync(Limit);
        Assert.Equal(2 * kept, Count());
        time.Advance(2 * Contents.LongestUpload);
        await _watch.Swept.Reader.ReadAsync(Limit);
        Assert.Equal(kept, Count());
    }

    [Fact]
    public async Task A_caller_who_hangs_up_in_the_middle_leaves_nothing()
    {
        var clinic = await ClinicAsync();
        var (broken, more) = (new Pipe(Unbounded), new byte[600_000]);
        await broken.Writer.WriteAsync(more);
        var sending = _world.SendStreamAsync(clinic.Grant, broken.Reader.AsStream(), "text/plain", ("X-Security-Context", "Patient/" + clinic.PatientId));
        await _watch.Stored.Reader.ReadAsync(Limit);
        Assert.True(Count() > 0);
        await broken.Writer.CompleteAsync(new IOException("The line went dead."));
        await Assert.ThrowsAnyAsync<Exception>(() => sending);
        await _watch.Dropped.Reader.ReadAsync(Limit);
        Assert.Equal(0, Count());
        Assert.Equal(1, (int)(await clinic.GetAsync($"_history?patient={clinic.PatientId}")).Is(HttpStatusCode.OK).Json["total"]!);
        Assert.DoesNotContain(_log.GetSnapshot(), r => r.Level >= LogLevel.Warning);

        Assert.Equal(Text, (await ReadAsync(clinic, (string)(await SendAsync(clinic, Text)).Is(HttpStatusCode.Created).Json["id"]!, "*/*")).Text);
    }

    [Fact]
    public async Task What_is_refused_when_it_has_arrived_leaves_nothing()
    {
        var clinic = await ClinicAsync();
        var id = (string)(await SendAsync(clinic, "ensimmäinen")).Is(HttpStatusCode.Created).Json["id"]!;
        var kept = Count();
        (await SendAsync(clinic, Text, id, ("If-Match", "W/\"another\""))).Is(HttpStatusCode.PreconditionFailed);
        Assert.Equal(kept, Count());
    }

    [Fact]
    public async Task A_content_that_does_not_arrive_within_the_hour_is_refused_and_leaves_nothing()
    {
        var clinic = await ClinicAsync();
        var time = await RestartAsync();
        var slow = new Pipe(Unbounded);
        await slow.Writer.WriteAsync(new byte[600_000]);
        var sending = _world.SendStreamAsync(clinic.Grant, slow.Reader.AsStream(), "text/plain", ("X-Security-Context", "Patient/" + clinic.PatientId));
        await _watch.Stored.Reader.ReadAsync(Limit);
        time.Advance(Contents.LongestUpload);
        await _watch.Dropped.Reader.ReadAsync(Limit);
        await slow.Writer.CompleteAsync();
        (await sending).Is(HttpStatusCode.RequestEntityTooLarge);
        Assert.Equal(0, Count());
    }

    /// <summary>What is large takes longer than any grant lives: the gateway is asked for another, and need not send it again.</summary>
    [Fact]
    public async Task A_content_that_is_longer_under_way_than_its_grant_lives_is_stored_under_the_next()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var world = await RepositoryWorld.StartAsync(configure: builder => StoreInFront.Put(builder, real => new WatchedParts(real, _watch)), time: time);
        var clinic = world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var (slow, context) = (new Pipe(Unbounded), ("X-Security-Context", "Patient/" + clinic.PatientId));
        await slow.Writer.WriteAsync(new byte[600_000]);
        var sending = world.SendStreamAsync(clinic.Grant, slow.Reader.AsStream(), "text/plain", context);
        await _watch.Stored.Reader.ReadAsync(Limit);
        time.Advance(TimeSpan.FromSeconds(90));
        await slow.Writer.CompleteAsync();
        var spent = (await sending).Is(HttpStatusCode.PreconditionFailed);
        Assert.Equal("1", spent.Headers[InternalHeaders.GrantSpent]);
        var later = clinic.Grant with { Expires = time.GetUtcNow().AddSeconds(50) };
        (await world.SendStreamAsync(later, Stream.Null, "text/plain", context, (InternalHeaders.ArrivedContent, spent.Headers[InternalHeaders.ArrivedContent]))).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task A_caller_who_hangs_up_while_reading_does_no_harm()
    {
        var clinic = await ClinicAsync();
        var longer = string.Concat(Enumerable.Repeat(Text, 20));
        var id = (string)(await SendAsync(clinic, longer)).Is(HttpStatusCode.Created).Json["id"]!;
        for (var i = 0; i < 5; i++)
            Assert.Equal(1000, await _world.ReadBeginningAsync(clinic.Grant, "/fhir/Binary/" + id, 1000, ("Accept", "*/*")));
        Assert.Equal(longer, (await ReadAsync(clinic, id, "*/*")).Is(HttpStatusCode.OK).Text);
        Assert.DoesNotContain(_log.GetSnapshot(), r => r.Level >= LogLevel.Warning);
    }

    /// <summary>Starts the repository anew, with a clock that stands until it is moved on.</summary>
    private async Task<FakeTimeProvider> RestartAsync()
    {
        await _world.StopRepositoryAsync();
        while (_watch.Swept.Reader.TryRead(out _))
            continue;
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        _time = time;
        await _world.StartRepositoryAsync();
        return time;
    }

    private async Task<Caller> ClinicAsync()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        return clinic;
    }

    private Task<Reply> SendAsync(Caller caller, string content, string? id = null, params (string, string)[] headers) =>
        _world.SendAsync(caller.Grant, null, id is null ? "POST" : "PUT", "/fhir/Binary" + (id is null ? "" : "/" + id), content, "text/plain",
            id is null && headers.Length == 0 ? [("X-Security-Context", "Patient/" + caller.PatientId)] : headers);

    private Task<Reply> ReadAsync(Caller caller, string id, string accept, (string, string) header, params (string, string)[] more) =>
        _world.SendAsync(caller.Grant, null, "GET", "/fhir/Binary/" + id, null, null, [("Accept", accept), header, .. more]);

    private async Task<Reply> ReadAsync(Caller caller, string id, string accept, bool mayBreak = false)
    {
        try
        {
            return await _world.SendAsync(caller.Grant, null, "GET", "/fhir/Binary/" + id, null, null, ("Accept", accept));
        }
        catch (HttpRequestException) when (mayBreak)
        {
            return new(HttpStatusCode.InternalServerError, [], new Dictionary<string, string>());
        }
    }

    /// <summary>Parts of a content that began at a time, as an upload leaves them whose process was killed.</summary>
    private void LeaveParts(DateTimeOffset begun) => Change("INSERT INTO part SELECT compartment, " +
        $"x'{Convert.ToHexString(Guid.CreateVersion7(begun).ToByteArray(true))}', number, sealed FROM part WHERE content IN (SELECT content FROM content)");

    private void Change(string sql)
    {
        using var database = new SqliteConnection($"Data Source={_world.DatabaseFile};Pooling=False");
        database.Open();
        using var command = database.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private long Count()
    {
        using var database = new SqliteConnection($"Data Source={_world.DatabaseFile};Pooling=False");
        database.Open();
        using var command = database.CreateCommand();
        command.CommandText = "SELECT count(*) FROM part";
        return (long)command.ExecuteScalar()!;
    }

    private static byte[] ReadShared(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
