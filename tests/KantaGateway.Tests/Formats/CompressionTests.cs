using System.IO.Compression;
using System.Text;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Formats;

/// <summary>Large answers leave compressed for who takes that, and compressed bodies come in, bounded by what they hold.</summary>
[Collection(FormatsCollection.Name)]
public sealed class CompressionTests(FormatsHouse fixture)
{
    private readonly HouseInMemory _house = fixture.House;

    private FhirSession Aurora => _house.Aurora.System;

    [Theory]
    [InlineData("gzip", "gzip")]
    [InlineData("br", "br")]
    [InlineData("gzip, deflate, br", "br")]
    public async Task A_large_answer_is_compressed_as_the_caller_accepts(string accept, string encoding)
    {
        await Aurora.CreateAsync("Observation", HouseInMemory.Json(_house.Observation(new string('ä', 4_000))));
        foreach (var target in new[] { "metadata", $"Observation?patient={_house.PatientId}" })
        {
            var plain = await Aurora.SendAsync(HttpMethod.Get, target);
            var compressed = await Aurora.SendAsync(HttpMethod.Get, target, headers: [("Accept-Encoding", accept)]);

            Assert.Equal(encoding, compressed.Headers["Content-Encoding"]);
            Assert.Contains("Accept-Encoding", compressed.Headers["Vary"], StringComparison.Ordinal);
            Assert.Equal(plain.Headers.GetValueOrDefault("ETag"), compressed.Headers.GetValueOrDefault("ETag"));
            Assert.Equal(plain.Headers["Content-Type"], compressed.Headers["Content-Type"]);
            Assert.InRange(compressed.Body.Length, 1, plain.Body.Length / 2);
            Assert.Equal(plain.Text, Unpack(compressed.Body, encoding));
        }
    }

    [Fact]
    public async Task A_small_answer_and_a_page_of_the_portal_are_not()
    {
        var read = await Aurora.SendAsync(HttpMethod.Get, $"Observation/{fixture.Note}", headers: [("Accept-Encoding", "gzip, br")]);
        Assert.False(read.Headers.ContainsKey("Content-Encoding"));
        Assert.Equal(read.Body.Length.ToString(System.Globalization.CultureInfo.InvariantCulture), read.Headers["Content-Length"]);
        var page = await Aurora.SendAsync(HttpMethod.Get, "/", headers: [("Accept-Encoding", "gzip, br")]);
        Assert.False(page.Headers.ContainsKey("Content-Encoding"));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    public async Task A_compressed_body_is_taken(string encoding)
    {
        var body = Pack(HouseInMemory.Json(_house.Observation("pakattu " + encoding)), encoding);
        var stored = await Aurora.SendAsync(HttpMethod.Post, "Observation", body, [("Content-Encoding", encoding)]);
        Assert.True(stored.Status == 201, stored.Text);
        Assert.Contains("pakattu", stored.Text, StringComparison.Ordinal);

        var form = Pack(Encoding.UTF8.GetBytes($"patient={_house.PatientId}&_format=xml"), encoding);
        var found = await Aurora.SendAsync(HttpMethod.Post, "Observation/_search", form, [("Content-Encoding", encoding)], "application/x-www-form-urlencoded");
        Assert.True(found.Status == 200, found.Text);
        Assert.Contains("<Bundle", found.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    public async Task A_body_that_would_unfold_without_end_is_refused_before_it_grows(string encoding)
    {
        // Half a gigabyte of spaces.
        using var bomb = new MemoryStream();
        await using (var packer = Packer(bomb, encoding))
        {
            var block = new byte[1 << 20];
            Array.Fill(block, (byte)' ');
            for (var i = 0; i < 512; i++)
                await packer.WriteAsync(block);
        }
        Assert.InRange(bomb.Length, 1, InteractionReader.MaxBody);

        // Other tests allocate in this process too, but not at every time.
        var least = long.MaxValue;
        for (var attempt = 0; attempt < 10 && least > 10L * InteractionReader.MaxBody; attempt++)
        {
            var before = GC.GetTotalAllocatedBytes();
            var refused = await Aurora.SendAsync(HttpMethod.Post, "Observation", bomb.ToArray(), [("Content-Encoding", encoding)]);
            Assert.Equal(413, refused.Status);
            least = Math.Min(least, GC.GetTotalAllocatedBytes() - before);
        }
        Assert.InRange(least, 0, 10L * InteractionReader.MaxBody);
    }

    [Theory]
    [InlineData("deflate", 415)]
    [InlineData("gzip, gzip", 415)]
    [InlineData("zstd", 415)]
    [InlineData("gzip", 400)]
    [InlineData("br", 400)]
    public async Task An_unknown_encoding_and_a_false_one_are_refused(string encoding, int status)
    {
        var refused = await Aurora.SendAsync(HttpMethod.Post, "Observation", HouseInMemory.Json(_house.Observation("plain")), [("Content-Encoding", encoding)]);
        Assert.Equal(status, refused.Status);
        Assert.NotEmpty(refused.Issues);
    }

    private static byte[] Pack(byte[] bytes, string encoding)
    {
        using var packed = new MemoryStream();
        using (var packer = Packer(packed, encoding))
            packer.Write(bytes);
        return packed.ToArray();
    }

    private static Stream Packer(Stream to, string encoding) =>
        encoding == "br" ? new BrotliStream(to, CompressionLevel.Fastest, leaveOpen: true) : new GZipStream(to, CompressionLevel.Fastest, leaveOpen: true);

    private static string Unpack(byte[] bytes, string encoding)
    {
        using Stream packed = encoding == "br" ? new BrotliStream(new MemoryStream(bytes), CompressionMode.Decompress) : new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress);
        return new StreamReader(packed).ReadToEnd();
    }
}
