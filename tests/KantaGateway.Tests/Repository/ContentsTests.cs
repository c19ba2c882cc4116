using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Tests.Repository;

/// <summary>Binaries as their own content.</summary>
public sealed class ContentsTests : IAsyncLifetime
{
    private const string Denied = "1.2.246.10.22222222.14.1";

    /// <summary>Of two parts and a bit.</summary>
    private static readonly string Text = string.Concat(Enumerable.Range(0, 60_000).Select(i => $"rivi {i:x6}"));

    private RepositoryWorld _world = null!;

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync();

    public async Task DisposeAsync() => await _world.DisposeAsync();

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
        Assert.Equal(created.ETag, read.ETag);
        var resource = (await clinic.GetAsync($"Binary/{created.Json["id"]}")).Is(HttpStatusCode.OK);
        Assert.Equal(sent, System.Text.Encoding.UTF8.GetString(Convert.FromBase64String((string)resource.Json["data"]!)));
        Assert.Equal(SHA256.HashData(resource.Body), resource.Manifest!.Digest);
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
        var person = RepositoryWorld.NewPerson();
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
    public async Task Parts_that_no_row_has_are_swept_at_the_next_start()
    {
        var clinic = await ClinicAsync();
        var created = (await SendAsync(clinic, Text)).Is(HttpStatusCode.Created);
        var kept = Count();
        // As an upload leaves them whose process was killed, two days ago.
        Change($"INSERT INTO part SELECT compartment, x'{Convert.ToHexString(Guid.CreateVersion7(DateTimeOffset.UtcNow.AddDays(-2)).ToByteArray(true))}', number, sealed FROM part");
        Assert.Equal(2 * kept, Count());
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        for (var i = 0; Count() > kept && i < 200; i++)
            (await _world.SendAsync(null, null, "GET", "/health/ready")).Is(HttpStatusCode.OK);
        Assert.Equal(kept, Count());
        Assert.Equal(Text, (await ReadAsync(clinic, (string)created.Json["id"]!, "*/*")).Is(HttpStatusCode.OK).Text);
    }

    private async Task<Caller> ClinicAsync()
    {
        var clinic = _world.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        return clinic;
    }

    private Task<Reply> SendAsync(Caller caller, string content, string? id = null, params (string, string)[] headers) =>
        _world.SendAsync(caller.Grant, null, id is null ? "POST" : "PUT", "/fhir/Binary" + (id is null ? "" : "/" + id), content, "text/plain",
            id is null && headers.Length == 0 ? [("X-Security-Context", "Patient/" + caller.PatientId)] : headers);

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
