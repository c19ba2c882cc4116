using System.CommandLine;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Dev;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Benchmarks;

/// <summary><c>identify</c>: what it costs to identify a caller whose token has been seen, beside the digest of the token alone.</summary>
static class IdentifyCommand
{
    private const int Times = 200_000, Rounds = 9;

    public static Command Create()
    {
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("identify.json") };
        var place = new Place();
        var command = new Command("identify", "Cost of identifying a caller whose token is known") { json, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var folder = Directory.CreateTempSubdirectory("kanta-identify").FullName;
            try
            {
                var ports = new Ports(parsed.GetValue(place.Port));
                await using var host = await DevHost.StartAsync(new DevHostOptions { Port = ports.Gateway, DataFolder = folder, Configure = builder => builder.Logging.ClearProviders() });
                using var clinic = ClinicClient.Open(new DevFolder(folder), DevelopmentFolder.Clinics[0].Name, new(host.Address));
                var token = await clinic.TokenAsync(cancel) ?? throw new BenchmarkException("The clinic got no token.");
                var identification = host.Gateway.Services.GetRequiredService<IIdentification>();
                using var certificate = System.Security.Cryptography.X509Certificates.X509CertificateLoader.LoadCertificateFromFile(Path.Combine(folder, "clinics", clinic.Name, "tls.pem"));
                var context = new DefaultHttpContext { RequestServices = host.Gateway.Services };
                context.Request.Headers.Authorization = "Bearer " + token;
                context.Connection.ClientCertificate = certificate;
                if ((await identification.IdentifyAsync(context)).Requester is null)
                    throw new BenchmarkException("The token was refused. Nothing was measured.");
                var ascii = Encoding.ASCII.GetBytes(token);
                var digest = new byte[SHA256.HashSizeInBytes];

                var known = new List<Sample>();
                var alone = new List<Sample>();
                for (var round = 0; round < Rounds; round++)
                {
                    known.Add(Take(() =>
                    {
                        var identified = identification.IdentifyAsync(context);
                        return identified.IsCompletedSuccessfully && identified.Result.Requester is not null;
                    }));
                    alone.Add(Take(() => SHA256.HashData(ascii, digest) == digest.Length));
                }
                var (one, reference) = (MedianOf(known), MedianOf(alone));
                return await new Report("identify", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(folder),
                    $"One thread, {Times:N0} times in a row, {Rounds} rounds in turn, the median of each; a token of {token.Length} characters.",
                    [new("a token already seen", ["µs", "of the digest", "bytes allocated"],
                    [
                        ["identified: digest, look-up, life, certificate, revocation", Measurement.Number(one.Micros, "0.00"), Measurement.Number(one.Micros / reference.Micros, "0.00"), Measurement.Number(one.Bytes, "0.0")],
                        ["SHA-256 of the token alone", Measurement.Number(reference.Micros, "0.00"), "1", Measurement.Number(reference.Bytes, "0.0")],
                    ])],
                    [new("checking a token already seen, µs", one.Micros, 2, AtLeast: false), new("bytes allocated by it", one.Bytes, 0, AtLeast: false)], []).PublishAsync(parsed.GetRequiredValue(json), cancel);
            }
            finally
            {
                Directory.Delete(folder, true);
            }
        });
        return command;
    }

    private readonly record struct Sample(double Micros, double Bytes);

    private static Sample Take(Func<bool> once)
    {
        var (bytes, begin) = (GC.GetAllocatedBytesForCurrentThread(), Stopwatch.GetTimestamp());
        for (var i = 0; i < Times; i++)
            if (!once())
                throw new BenchmarkException("It was not answered at once. Nothing was measured.");
        return new(Stopwatch.GetElapsedTime(begin).TotalMicroseconds / Times, (GC.GetAllocatedBytesForCurrentThread() - bytes) / (double)Times);
    }

    private static Sample MedianOf(List<Sample> samples) => samples.OrderBy(s => s.Micros).ElementAt(samples.Count / 2);
}
