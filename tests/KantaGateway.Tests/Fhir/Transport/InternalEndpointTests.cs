using KantaGateway.Fhir.Transport;

namespace KantaGateway.Tests.Fhir.Transport;

public class InternalEndpointTests
{
    [Fact]
    public void Reads_a_socket_and_a_loopback_address()
    {
        Assert.Equal("/run/kanta/keys.sock", InternalEndpoint.Parse("unix:/run/kanta/keys.sock").SocketPath);
        var tcp = InternalEndpoint.Parse("http://127.0.0.1:8081");
        Assert.Null(tcp.SocketPath);
        Assert.Equal(8081, tcp.Address.Port);
    }

    [Theory]
    [InlineData("")]
    [InlineData("unix:relative.sock")]
    [InlineData("/run/kanta/keys.sock")]
    [InlineData("ftp://127.0.0.1")]
    public void Rejects_everything_else(string text) => Assert.Throws<FormatException>(() => InternalEndpoint.Parse(text));
}
