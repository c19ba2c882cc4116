using KantaGateway.Fhir.Transport;
using KantaGateway.Postgres;
using KantaGateway.Repository;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Repository;

/// <summary>The repository does not start on a database that anybody could listen to or sign in to.</summary>
public sealed class RepositoryOptionsTests
{
    private const string Strong = "Vahva-salaisuus-1";

    [Theory]
    [InlineData("Host=/run/postgresql;Username=kanta", null, null)]
    [InlineData("Host=/run/postgresql;Username=kanta", "kanta", "default password")]
    [InlineData("Host=/run/postgresql", Strong, "no role")]
    [InlineData("Host=127.0.0.1;Username=kanta", Strong, "Postgres: over TCP it needs SSL Mode=VerifyFull")]
    [InlineData("Host=localhost:5433;Username=kanta;SSL Mode=Require;{root}", Strong, "VerifyFull")]
    [InlineData("Host=::1;Username=kanta;SSL Mode=VerifyCA;{root}", Strong, "VerifyFull")]
    [InlineData("Host=127.0.0.1;Username=kanta;SSL Mode=VerifyFull", Strong, "Postgres: over TCP it needs Root Certificate")]
    [InlineData("Host=127.0.0.1;Username=kanta;SSL Mode=VerifyFull;Root Certificate=/nowhere.pem", Strong, "Root Certificate")]
    [InlineData("Host=127.0.0.1;Username=kanta;SSL Mode=VerifyFull;{root}", Strong, null)]
    [InlineData("Host=127.0.0.1;Username=kanta;SSL Mode=VerifyFull;{root}", null, "without a password")]
    [InlineData("Host=127.0.0.1;Username=postgres;SSL Mode=VerifyFull;{root}", "postgres", "default password")]
    [InlineData("Host=127.0.0.1;Username=kanta", "Password", "default password")]
    [InlineData("Host=127.0.0.1;Username=kanta", "root", "default password")]
    [InlineData("Host=db.example;Username=kanta;SSL Mode=VerifyFull;{root}", Strong, null)]
    [InlineData("Host=/run/postgresql,db.example;Username=kanta", Strong, "VerifyFull")]
    [InlineData("Username=kanta", Strong, "no host")]
    [InlineData(Strong, null, "not a connection string")]
    public void A_database_is_near_or_verified_and_has_no_default_password(string connection, string? password, string? wrong)
    {
        var file = Path.GetTempFileName();
        using var authority = DevelopmentAuthority.Create();
        File.WriteAllText(file, authority.CertificatePem);
        try
        {
            connection = connection.Replace("{root}", $"Root Certificate={file}");
            var options = new RepositoryOptions
            {
                Listen = "unix:/run/kanta/repository.sock", Keys = "unix:/run/kanta/keys.sock", DatabaseFile = "", Postgres = password is null ? connection : $"{connection};Password={password}", IdentifierKeyFile = file, GatewayKeyFile = file,
            };
            var thrown = Record.Exception(() => options.Validate());
            if (wrong is null)
                Assert.Null(thrown);
            else
            {
                Assert.Contains(wrong, Assert.IsType<InvalidOperationException>(thrown).Message);
                Assert.DoesNotContain(Strong, thrown.ToString());
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    [InlineData("{\"Postgres\": \"Host=/run/postgresql;Username=kanta;Pwd={secret}\"}", UnixFileMode.OtherRead, false)]
    [InlineData("{\"PostgresOwner\": \"Host=/run/postgresql;Username=kanta;Password={secret}\"}", UnixFileMode.OtherRead, false)]
    [InlineData("{\"Postgres\": \"Host=/run/postgresql;Username=kanta;Password={secret}\"}", UnixFileMode.GroupRead, true)]
    [InlineData("{\"Postgres\": \"Host=/run/postgresql;Username=kanta\", \"OAuthPasswordFile\": \"elsewhere\"}", UnixFileMode.OtherRead, true)]
    public void A_configuration_file_with_a_password_is_read_by_nobody_else(string json, UnixFileMode others, bool holds)
    {
        // There the folder's own access list decides.
        if (OperatingSystem.IsWindows())
            return;
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, json.Replace("{secret}", Strong, StringComparison.Ordinal));
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | others);
            var thrown = Record.Exception(() => OptionsCheck.RequirePrivateConfiguration(file, ("Postgres", PostgresOptions.HasPassword), ("PostgresOwner", PostgresOptions.HasPassword)));
            Assert.Equal(holds, thrown is null);
            Assert.DoesNotContain(Strong, thrown?.ToString() ?? "");
        }
        finally
        {
            File.Delete(file);
        }
    }
}
